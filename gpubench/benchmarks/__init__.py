"""What is measured: ``registry`` has one row for each benchmark, and each family a module or folder.

``parameters`` is what a benchmark takes, ``suites`` the benchmarks that are asked for together, ``plan``
what a request becomes, ``description`` what can be asked for.
"""
