"""The command ``gpubench-server``.

Closed standard streams are opened before the server is imported: a library that opens a file while it is
imported, as OpenSSL does on some systems, would get the number of a closed one.
"""

import os
import sys

from gpubench.standard_streams import with_standard_streams


def main() -> int:
    """Serve until a signal ends it; returns the exit code."""
    if os.getpid() == 1:
        from gpubench_server.process_one import split

        code = split()
        if code is not None:
            return code
    return with_standard_streams(_serve)


def _serve() -> int:
    from gpubench_server.cli import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
