"""Parses Beam's own options strictly, so that a misspelt one is never ignored."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from beamstop.errors import did_you_mean
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.engines import import_runner

LOCAL_RUNNERS = ("", "directrunner", "fnapirunner", "switchingdirectrunner", "fnapilocalrunner")
_OURS = ("--direct_num_workers", "--direct_running_mode")

# Options without effect on another runner, and what to use instead.
LOCAL_ONLY = {
    "--ephemeral-key": "name a key that all workers can reach",
    "--workers": "use the runner's own, such as --max_num_workers or --parallelism",
    "--max-memory": "use the runner's own, such as --resource_hint=min_ram=16GB",
    "--stall-timeout": "use the runner's own, such as --element_processing_timeout_minutes",
}

# Per machine with two processes: what two were measured to need (docs/scale.md), and room for large
# instances.
MIN_RAM = "min_ram=16GB"


def parse_beam_options(arguments: Sequence[str], known: Sequence[str] = ()) -> Any:
    """Return Beam's `PipelineOptions` for the rest of the command line.

    Args:
        arguments: those that are not beamstop's options.
        known: beamstop's options, to suggest one for an unknown option.

    Raises:
        ConfigurationError: an option that Beam does not know either, a bad value, or a runner whose module is
            missing.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    from beamstop_pipeline.running.kept_views import KeptViews

    import_runner(arguments)

    class Parser(_BeamArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ConfigurationError(f"{message}; see beamstop run --help and Beam's own options")

    parser = Parser(allow_abbrev=False, add_help=False)
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    _, left = parser.parse_known_args(list(arguments))
    if left:
        every = [*known, *(name for action in parser._actions for name in action.option_strings)]
        raise ConfigurationError(_unknown(left[0], every))
    for argument in arguments:
        if argument.partition("=")[0] in _OURS:
            raise ConfigurationError(f"{argument.partition('=')[0]}: use --workers instead")
    return KeptViews(list(arguments))


def _unknown(argument: str, every: Sequence[str]) -> str:
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return "an argument without an option; quote values that contain spaces"
    return f"no such option {name}" + (did_you_mean(name, every) or "; see beamstop run --help")


def is_local(options: Any) -> bool:
    """Return whether the run is on this machine: no other runner is named."""
    from apache_beam.options.pipeline_options import StandardOptions

    runner = options.view_as(StandardOptions).runner or ""
    return runner.rpartition(".")[2].casefold() in LOCAL_RUNNERS


def is_on_dataflow(options: Any) -> bool:
    """Return whether the run is on Dataflow."""
    from apache_beam.options.pipeline_options import StandardOptions

    return (options.view_as(StandardOptions).runner or "").endswith("DataflowRunner")


def check_elsewhere(
    options: Any, keys: Mapping[str, str], places: Mapping[str, Sequence[str]], given: Sequence[str]
) -> None:
    """Check that a remote run does not depend on anything that only this machine has.

    Args:
        options: Beam's.
        keys: option → reference of a key.
        places: option → the folders, files and prefixes that it names.
        given: beamstop's options on the command line.

    Raises:
        ConfigurationError: it does.
    """
    for option, remedy in LOCAL_ONLY.items():
        if option in given:
            raise ConfigurationError(f"{option} is for runs on one machine: {remedy}")
    if not is_on_dataflow(options):
        return  # workers of Flink may share folders and keys with this machine
    for option, named in places.items():
        if not all(re.match("[a-z]+:", place) for place in named):
            raise ConfigurationError(f"{option}: Dataflow's workers see no local folder; name a gs:// prefix")
    for option, key in keys.items():
        if not key.startswith("secret:"):
            raise ConfigurationError(f"{option}: Dataflow's workers reach secret:projects/…/versions/… only")


def fit_for_workers(options: Any) -> None:
    """Set the options that the job needs on remote workers, unless the user set them.

    One bundle at a time per process, because each needs memory for a whole instance and a text detector; that
    memory; no staged files, because the code is installed on the workers; and no logs.
    """
    from apache_beam.options.pipeline_options import DebugOptions, SetupOptions, StandardOptions

    standard, setup, debug = (options.view_as(it) for it in (StandardOptions, SetupOptions, DebugOptions))
    if not standard.resource_hints:
        # For all steps: runners fuse only steps with equal hints, and instances must not cross between
        # workers.
        standard.resource_hints = [MIN_RAM]
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or 1
    debug.add_experiment("disable_logging_submission_environment")  # that would be a staged file
    setup.save_main_session = False
    if setup.sdk_location == "default":
        setup.sdk_location = "container"
    setup.beam_plugins = [*(setup.beam_plugins or []), "beamstop_pipeline.quiet_worker"]
