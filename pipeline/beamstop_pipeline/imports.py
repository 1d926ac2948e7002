"""What a worker imports before its first bundle."""


def import_job() -> None:
    """Import everything a worker needs, in one thread, before bundles import in several.

    If one thread imports a package and another a module of it, each waits for the other's lock. Python then
    raises `_DeadlockError` in one of them, which breaks a job on Flink.
    """
    import apache_beam.runners.worker.sdk_worker_main  # noqa: F401

    import beamstop_pipeline.graph  # noqa: F401
