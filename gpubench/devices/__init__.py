"""Devices: the interface ``Device`` in ``base``, and its implementations.

``runtimes`` loads and surveys the runtimes in ``cuda`` and ``opencl``, ``selection`` chooses one of their
devices, ``telemetry`` and ``host`` watch them.
"""
