"""A Beam plugin: workers elsewhere import it before they work, and are silent from then on."""

import os

from beamstop_pipeline.silence import silence_worker

if "CONTROL_API_SERVICE_DESCRIPTOR" in os.environ:  # Beam sets it for processes that work
    silence_worker()
