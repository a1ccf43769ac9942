"""OpenCL devices; only `runtime` and `info` need PyOpenCL."""
