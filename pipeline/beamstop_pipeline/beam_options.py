"""Beam's own options beside ours: parsed strictly, so that a misspelt one is never dropped."""

import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from beamstop_pipeline.job import ConfigurationError

LOCAL_RUNNERS = ("", "directrunner", "fnapirunner", "switchingdirectrunner", "fnapilocalrunner")
_OURS = ("--direct_num_workers", "--direct_running_mode")


def parse_beam_options(arguments: Sequence[str], known: Sequence[str] = ()) -> Any:
    """Return Beam's `PipelineOptions` for what is left of the command line.

    Args:
        arguments: what is no option of ours.
        known: our own options, to suggest one where an option is unknown.

    Raises:
        ConfigurationError: an option that is none of Beam's either, or one with a bad value.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

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
    return PipelineOptions(list(arguments))


def _unknown(argument: str, every: Sequence[str]) -> str:
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return "an argument that belongs to no option; quote values that hold blanks"
    near = difflib.get_close_matches(name, every, n=1)
    return f"no such option {name}" + (f"; did you mean {near[0]}?" if near else "; see beamstop run --help")


def is_local(options: Any) -> bool:
    """Say whether the run is for this machine: no other runner was named."""
    from apache_beam.options.pipeline_options import StandardOptions

    runner = options.view_as(StandardOptions).runner or ""
    return runner.rpartition(".")[2].casefold() in LOCAL_RUNNERS
