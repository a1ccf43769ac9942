"""``python -m gpubench.executor DESCRIPTOR``: a worker process on an inherited socket."""

import sys

from gpubench.executor.worker_main import main

main(int(sys.argv[1]))
