"""What the template's launcher starts: it submits the job and does not wait for its end."""

import sys

from beamstop_pipeline.launch import main

sys.exit(main(sys.argv[1:]))
