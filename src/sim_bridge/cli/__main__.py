# SPDX-License-Identifier: Apache-2.0
"""`python -m sim_bridge.cli VERB`: the command `sim-bridge` without an installed script."""

import sys

from sim_bridge.cli.main import main

sys.exit(main())
