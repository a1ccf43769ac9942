"""Runs benchmarks in a worker process that owns one device, and supervises that process."""
