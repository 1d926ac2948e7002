"""A Beam plugin that remote workers import first: it silences them and imports the job."""

import os

from beamstop_pipeline.imports import import_job
from beamstop_pipeline.silence import silence_worker

if "CONTROL_API_SERVICE_DESCRIPTOR" in os.environ:  # Beam sets it for worker processes
    silence_worker()
    import_job()
