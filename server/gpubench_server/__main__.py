"""``python -m gpubench_server``: the command ``gpubench-server``."""

import sys

from gpubench_server.cli import main

sys.exit(main())
