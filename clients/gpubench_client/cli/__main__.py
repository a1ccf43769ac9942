"""``python -m gpubench_client.cli``."""

import sys

from gpubench_client.cli.main import main

sys.exit(main())
