"""What scripts/install runs, with the system's Python."""

import sys

from agent.install.command import main

sys.exit(main(sys.argv[1:]))
