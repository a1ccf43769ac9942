"""The client: ``Client`` for programs, and the command line ``gpubench``."""
