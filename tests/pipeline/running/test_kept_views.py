"""Beam's options as the job gets them: each view is made once, and all share the values."""

import copy
import pickle

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    TypeOptions,
)

from beamstop_pipeline.running.beam_options import parse_beam_options

ARGUMENTS = ["--runner=DirectRunner", "--impersonate_service_account=somebody"]


def test_a_view_is_made_once_and_shares_its_values() -> None:
    options = parse_beam_options(ARGUMENTS)
    assert options.view_as(TypeOptions) is options.view_as(TypeOptions)
    options.view_as(StandardOptions).runner = "Other"
    assert (options.view_as(StandardOptions).runner, options.get_all_options()["runner"]) == (
        "Other",
        "Other",
    )


def test_views_of_a_copy_are_its_own() -> None:
    options = parse_beam_options(ARGUMENTS)
    options.view_as(StandardOptions).runner = "first"
    other = copy.deepcopy(options)
    other.view_as(StandardOptions).runner = "second"
    assert options.view_as(StandardOptions).runner == "first"


def test_pickled_options_have_what_beams_have_and_nothing_of_their_views() -> None:
    options = parse_beam_options(ARGUMENTS)
    assert options.view_as(GoogleCloudOptions).impersonate_service_account == "somebody"
    state, beams = options.__getstate__(), PipelineOptions(ARGUMENTS).__getstate__()
    assert state.keys() == beams.keys()
    assert state["_all_options"]["impersonate_service_account"] is None
    again = pickle.loads(pickle.dumps(options))  # noqa: S301  our own
    assert again.view_as(StandardOptions).runner == "DirectRunner"
    assert again.view_as(GoogleCloudOptions).impersonate_service_account is None
