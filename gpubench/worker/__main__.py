"""``python -m gpubench.worker DESCRIPTOR``: a worker on an inherited socket."""

import sys

from gpubench.worker.process import main

main(int(sys.argv[1]))
