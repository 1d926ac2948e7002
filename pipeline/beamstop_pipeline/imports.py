"""What a worker imports before its first bundle."""


def import_job() -> None:
    """Import all that a worker needs, in one thread: bundles that begin together import in threads.

    Two threads, the one on its way into a package and the other into a module of it, each wait for what the
    other holds; Python then refuses one of them (`_DeadlockError`), which breaks a job on Flink.
    """
    import apache_beam.runners.worker.sdk_worker_main  # noqa: F401

    import beamstop_pipeline.graph  # noqa: F401
