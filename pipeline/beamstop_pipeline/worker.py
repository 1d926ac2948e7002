"""A worker process of a local run: Beam's own, but silent, and it ends with its driver."""

import os
import signal
import sys
import threading
import time

_LOOK_EVERY = 1.0  # seconds
_ORPHANED = 1


def main() -> None:
    """Serve the driver that started this process."""
    serve(os.getppid())


def serve(driver: int) -> None:
    """Serve a driver, as long as it is this process's parent."""
    # The driver handles signals to the whole process group (systemd, a shell): a worker that ended on its own
    # would look as if its source had killed it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    from apache_beam.runners.worker import sdk_worker_main

    from beamstop_pipeline.imports import import_job
    from beamstop_pipeline.silence import silence_worker

    silence_worker()  # only now, so that a failed start is reported
    import_job()
    threading.Thread(target=_follow, args=(driver,), daemon=True).start()
    sdk_worker_main.main(sys.argv)


def _follow(driver: int) -> None:
    """End when the driver is gone: otherwise an orphan would keep working while the next run starts."""
    while os.getppid() == driver:
        time.sleep(_LOOK_EVERY)
    os._exit(_ORPHANED)


if __name__ == "__main__":
    main()
