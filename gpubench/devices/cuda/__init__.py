"""CUDA devices; only `runtime` needs PyCUDA."""
