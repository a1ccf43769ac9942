"""Device code: one source for each family, under a small prelude for each runtime.

``source`` makes the text of a program, ``programs`` compiles each once for a device.
"""
