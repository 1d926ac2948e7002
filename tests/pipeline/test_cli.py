"""The command line: exit codes, and what is refused before anything is read."""

import inspect
import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import pytest

from beamstop.dicom.limits import DEEPEST, Limits
from beamstop_pipeline.cli import main, with_repeated_inputs
from beamstop_pipeline.commands.run import run

DATAFLOW = ["--runner=DataflowRunner"]


@pytest.fixture
def good(tmp_path: Path, archive: Path, key_file: Path) -> dict[str, str]:
    """Return options of a run that works."""
    return {
        "--input": str(archive),
        "--output": str(tmp_path / "out"),
        "--audit": str(tmp_path / "audit"),
        "--key": str(key_file),
        "--recipe": "basic",
        "--workers": "1",
    }


def command(options: dict[str, str | None], *more: str) -> list[str]:
    pairs = [(name, value) for name, value in options.items() if value is not None]
    return ["run", *(part for pair in pairs for part in pair), *more]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Return the sentence with which a configuration is refused."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().replace("\n", " ")


def test_help_and_keygen_do_not_import_beam(tmp_path: Path) -> None:
    code = (
        "import sys; from beamstop_pipeline.cli import main;"
        f"codes = main(['--help']), main(['run', '--help']), main(['keygen', {str(tmp_path / 'k')!r}]);"
        "assert codes == (0, 0, 0); assert not {'apache_beam', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_of_run_says_what_belongs_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    panels = re.findall(r"^╭─ (.+?) ─", out, re.MULTILINE)
    assert panels == [
        "Options",
        "Where it goes",
        "What is done",
        "The key: exactly one of",
        "Limits",
        "What is printed",
    ]
    assert "beamstop run --input /archive --output /clean --audit /audit --key study.key" in out


def test_the_shell_completes_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_BEAMSTOP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "beamstop run --in")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["--input", "--incremental"]


def test_limits_that_nobody_gives_are_those_of_the_core() -> None:
    """The command names them again, so that its help need not load the core."""
    given = inspect.signature(run).parameters
    assert given["max_bytes"].default is None  # by the memory there is
    for limit, value in asdict(replace(Limits(), bytes=None)).items():  # type: ignore[arg-type]
        assert given[limit if limit == "decoder_memory" else f"max_{limit}"].default == value
    assert given["max_depth"].annotation.__metadata__[0].max == DEEPEST


@pytest.mark.ocr
def test_a_language_that_nobody_reads_is_said_once(
    good: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe, foreign = tmp_path / "russian.yaml", tmp_path / "foreign.dcm"
    recipe.write_text(
        "profile: basic\noptions: [clean-pixel-data]\n"
        "text: {languages: [en, ru], authorized_words: [GAUCHE]}\n"
    )
    foreign.write_bytes(b"no DICOM")
    assert main(command({**good, "--recipe": str(recipe), "--input": str(foreign)}, "--json")) == 0
    said = "no weights to read ru: such words are hidden, even authorised ones"
    assert capfd.readouterr().err.count(said) == 1


def test_a_recipe_with_guessable_uids_is_said_to_be_one(
    good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "kskit.yaml"
    recipe.write_text("uids: {method: kskit, root: 9.9.9.9.9}\n")
    said = "uids: method kskit has no key: whoever knows an original UID can compute the new one"
    assert main(command({**good, "--recipe": str(recipe)}, "--json")) == 0
    assert capsys.readouterr().err.strip() == said
    assert main(command({**good, "--recipe": str(recipe)}, "--quiet")) == 0
    assert capsys.readouterr().err == ""
    assert main(["recipe", "check", str(recipe)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == said


def test_keygen_writes_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    assert main(["keygen", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new").stat().st_size == 32
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_keygen_never_replaces_a_key(key_file: Path, key: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert "exists already" in refused(capsys, ["keygen", str(key_file)])
    assert key_file.read_bytes() == key


def test_json_is_one_object_with_the_counts(good: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(good, "--json")) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == ""
    assert " ".join(told) == (
        "run_id sources written rejected quarantined failed unchanged skipped known"
        " bytes_in bytes_out seconds audit"
    )
    assert (told["sources"], told["written"], told["audit"]) == (3, 3, good["--audit"])


def test_the_summary_tells_outcomes_and_places(
    good: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(good)) == 0
    out = capsys.readouterr().out
    for told in (
        "3 in ",
        "3 (0 of them unchanged)",
        "rejected",
        "quarantined",
        "failed",
        "clean files",
        "beamstop report ",
    ):
        assert told in out


def test_quiet_says_nothing(good: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(command(good, "--quiet")) == 0
    assert "".join(capfd.readouterr()) == ""


def test_an_ephemeral_key_is_used_and_forgotten(
    good: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command({**good, "--key": None}, "--ephemeral-key", "--quiet")) == 0
    assert not [name for name in os.environ if name.startswith("BEAMSTOP_KEY")]
    record = next(Path(good["--audit"], "runs").iterdir()).read_text()
    assert json.loads(record)["options"]["ephemeral_key"] is True


def test_the_record_holds_no_path_of_key_or_input(good: dict[str, str]) -> None:
    assert main(command(good, "--quiet")) == 0
    record = next(Path(good["--audit"], "runs").iterdir()).read_text()
    assert good["--key"] not in record
    assert good["--input"] not in record


def test_folders_that_are_made_are_the_owners_alone(good: dict[str, str], tmp_path: Path) -> None:
    good["--output"] = str(tmp_path / "new" / "out")
    assert main(command(good, "--quiet")) == 0
    for folder in (tmp_path / "new", tmp_path / "new" / "out", tmp_path / "audit"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_several_values_may_follow_one_flag() -> None:
    given = ["run", "--input", "a", "b", "--output", "o", "--input=c", "d", "--quiet"]
    assert with_repeated_inputs(given) == (
        ["run", "--input=a", "--input=b", "--output", "o", "--input=c", "--input=d", "--quiet"]
    )


@pytest.mark.parametrize(
    ("changed", "more", "sentence"),
    [
        ({"--key": None}, [], "no key"),
        ({}, ["--ephemeral-key"], "exclude each other"),
        ({"--key": None}, ["--ephemeral-key", "--incremental"], "needs the key of the earlier runs"),
        ({"--input": "no/such/*.dcm"}, ["--incremental"], "nothing matches"),
        ({"--key": "nowhere"}, [], "make one with beamstop keygen"),
        ({"--key": "env:BEAMSTOP_NO_SUCH_VARIABLE"}, [], "no such environment variable"),
        ({"--recipe": "no-such-recipe"}, [], "no such file"),
        ({"--input": "no/such/*.dcm"}, [], "nothing matches"),
        ({"--workers": "0"}, [], "--workers"),
        ({"--audit-detail": "some"}, [], "--audit-detail"),
        ({}, ["--qiet"], "no such option --qiet; did you mean --quiet?"),
        ({}, ["--direct_runner_bundle_repeats=2"], "did you mean --direct_runner_bundle_repeat?"),
        ({}, ["--direct_runner_bundle_repeat=x"], "invalid int value"),
        ({}, ["--direct_num_workers=2"], "use --workers"),
        ({}, ["--quiet", "--json"], "exclude each other"),
        ({}, ["--quiet", "stray"], "an argument without an option"),
        ({}, ["--prune"], "add --incremental"),
        (
            {"--output": "dicomweb:http://host/dicom"},
            ["--incremental", "--prune"],
            "--prune cannot remove instances",
        ),
        ({"--key": None}, ["--ephemeral-key", *DATAFLOW], "--ephemeral-key is for runs on one machine"),
        ({}, ["--runner=FlinkRunner", "--workers=2"], "--workers is for runs on one machine"),
        ({"--workers": None}, [*DATAFLOW, "--stall-timeout=9"], "--stall-timeout is for runs on one machine"),
        ({"--workers": None}, [*DATAFLOW, "--max-memory=900"], "--max-memory is for runs on one machine"),
        ({}, ["--max-memory=200"], "Invalid value for '--max-memory'"),
        ({"--workers": None}, DATAFLOW, "--input: Dataflow's workers see no local folder"),
    ],
)
def test_bad_configuration_is_one_sentence(
    good: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str | None],
    more: list[str],
    sentence: str,
) -> None:
    assert sentence in refused(capsys, command({**good, **changed}, *more))
    assert not Path(good["--output"]).exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "beamstop: No such command 'nope'; see beamstop --help\n"),
        (["report"], "beamstop: Missing argument 'AUDIT'; see beamstop report --help\n"),
        (["report", "x", "--nope"], "beamstop: No such option: --nope; see beamstop report --help\n"),
        (["recipe", "show"], "beamstop: Missing argument 'NAME|FILE'; see beamstop recipe show --help\n"),
    ],
)
def test_a_command_that_is_wrong_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", sentence)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"beamstop {version('beamstop')}\n"


def test_no_command_is_answered_by_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: beamstop" in "".join(capsys.readouterr())
    assert main(["recipe"]) == 2
    assert "Usage: beamstop recipe" in "".join(capsys.readouterr())


def test_a_key_that_others_can_read_is_refused(
    good: dict[str, str], key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file.chmod(0o640)
    assert "run chmod 600" in refused(capsys, command(good))


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--output", "archive"),
        ("--output", "archive/out"),
        ("--output", "."),
        ("--audit", "out/audit"),
        ("--output", "audit/out"),
        ("--crosswalk", "out"),
        ("--crosswalk", "archive/../audit/cross"),
        ("--attributes", "audit/attributes"),
        ("--png", "out/png"),
        ("--output", "link/out"),
    ],
)
def test_places_inside_one_another_are_refused(
    good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, place: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    assert "lie inside one another" in refused(capsys, command({**good, option: str(tmp_path / place)}))


def test_a_target_below_the_folder_of_a_pattern_is_refused(
    good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good["--input"] = str(tmp_path / "arch*" / "*.dcm")
    assert "lie inside one another" in refused(capsys, command(good))


def test_a_bind_mount_is_no_way_around(good: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    good["--output"] = str(tmp_path / "mounted" / "out")
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    places = [str(tmp_path / "archive"), str(tmp_path / "mounted")]
    beamstop = [sys.executable, "-m", "beamstop_pipeline", *command(good)]
    apart = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*apart, script, "sh", *places, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    ended = subprocess.run([*apart, script, "sh", *places, *beamstop], capture_output=True, text=True)
    assert (ended.returncode, "lie inside one another" in ended.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--input", "--output", "--audit", "--crosswalk", "--png"])
def test_an_empty_place_is_refused(
    good: dict[str, str], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """As a variable of a script is that nobody has set; it would be the current folder."""
    assert f"{option} is empty" in refused(capsys, command({**good, option: ""}))


@pytest.mark.parametrize("option", ["--limit", "--max-bytes", "--decoder-memory", "--workers"])
def test_a_number_that_no_machine_can_hold_is_refused(
    good: dict[str, str], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert option in refused(capsys, command({**good, option: "9" * 24}))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_needs_no_standard_streams(good: dict[str, str], tmp_path: Path, closed: str) -> None:
    script = ["/bin/sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-m", "beamstop_pipeline"]
    ended = subprocess.run([*script, *command(good)], capture_output=True)
    assert ended.returncode == 0
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


def test_a_target_that_cannot_be_made_is_refused(
    good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    good["--output"] = str(tmp_path / "file" / "out")
    assert "choose another folder" in refused(capsys, command(good))


def test_two_runs_into_one_target_at_once_are_refused(
    good: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    (tmp_path / "out" / ".partial").mkdir(parents=True)
    with open(tmp_path / "out" / ".partial" / "run", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run is writing" in refused(capsys, command(good))


def test_what_a_dead_run_left_half_done_is_cleared(good: dict[str, str], tmp_path: Path) -> None:
    for name in ("out/.partial/new/half", "audit/.partial/dead/instances/half"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"half")
    assert main(command(good, "--quiet")) == 0
    assert not (tmp_path / "out" / ".partial").exists()
    assert not (tmp_path / "audit" / ".partial").exists()


def test_missing_weights_are_refused_before_anything_is_read(
    good: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEAMSTOP_WEIGHTS", str(tmp_path / "nowhere"))
    message = refused(capsys, command(good | {"--recipe": "default"}))
    assert "craft_mlt_25k.pth" in message
    assert "beamstop[weights]" in message
