"""Device code: one source for each family, under a small prelude for each runtime.

``source`` builds the text of a program; ``programs`` compiles each program once for a device.
"""
