"""How it is measured, for all families of benchmarks alike.

``run_context`` is what a benchmark works with; ``memory``, ``shapes`` and ``tuning`` prepare its passes;
``points`` measures them, with ``sampling``, ``series``, ``stopping`` and ``statistics``; ``validity``,
``diagnostics``, ``annotate`` and ``verification`` decide what the figure is worth; ``levels`` reads curves.
"""
