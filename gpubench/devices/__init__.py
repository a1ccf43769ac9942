"""Where bytes move: the seam ``Device`` in ``base``, and what stands behind it.

``runtimes`` loads and surveys the runtimes in ``cuda`` and ``opencl``, ``selection`` chooses one of their
devices, ``telemetry`` and ``host`` watch them.
"""
