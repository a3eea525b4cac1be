"""`python -m sim_bridge.cli VERB`: the command `sim-bridge` where no script is installed."""

import sys

from sim_bridge.cli.main import main

sys.exit(main())
