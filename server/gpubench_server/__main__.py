"""The command ``gpubench-server``.

Closed standard streams are opened before the server is imported: a library that opens a file while it is
imported, as OpenSSL does on some systems, would get the number of a closed one.
"""

import sys

from gpubench.standard_streams import with_standard_streams


def main() -> int:
    """Serve until a signal ends it; returns the exit code."""
    return with_standard_streams(_serve)


def _serve() -> int:
    from gpubench_server.cli import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
