"""Runs of the whole job, as tests of the pipeline have them."""

from tests.pipeline.conftest import run

__all__ = ["run"]
