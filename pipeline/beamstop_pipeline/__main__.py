"""`python -m beamstop_pipeline` is `beamstop`."""

import sys

from beamstop_pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
