"""The command line ``gpubench``."""

from gpubench_client.cli.main import main

__all__ = ["main"]
