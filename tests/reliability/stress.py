"""Many runs that are killed or meet a fault, each followed by another; prints what was lost: nothing.

`make stress` runs it long; `make test` runs a few trials of each kind.
"""

import argparse
import errno
import functools
import importlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.reliability import faults
from tests.reliability.scenarios import (
    Change,
    Scenario,
    changing,
    code_of_a_next_run,
    scenarios,
    settled,
    untrue,
)
from tests.reliability.trials import (
    Ended,
    copied,
    halves,
    kill_all,
    kill_driver,
    kill_worker,
    run,
    run_processes,
    when_there_are,
)

KILLED, BROKEN = -9, 3
Disturb = Callable[["subprocess.Popen[bytes]"], None]


def moments(changes: int, wanted: int) -> list[int]:
    """Return up to so many of the moments 1 to changes, evenly spread."""
    wanted = min(wanted, changes)
    return [1 + int((number + 0.5) * changes / wanted) for number in range(wanted)]


class Report:
    """Counts trials and what was lost in them."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.lost: list[str] = []

    def trial(self, kind: str, name: str, wrong: list[str]) -> None:
        """Count one trial."""
        self.tried[kind] += 1
        self.lost += [f"{kind}, {name}: {it}" for it in wrong]
        if wrong:
            tell(self.lost[-1])


def killed(scenario: Scenario, home: Path, *at: int) -> list[str]:
    """Kill a run before a change, the next one too if asked, then let one go on; return what is wrong."""
    copied(scenario.prior, home)
    for moment in at:
        ended = run(scenario.job, home, faults.kill_at(moment))
        wrong = [f"half a file: {it}" for it in halves(home)]
        if wrong:
            return wrong
        if ended.code not in (KILLED, scenario.ended.code):
            return [f"exit {ended.code}: {ended.said}"]
    return settled(scenario, home)


def refused(scenario: Scenario, home: Path, moment: int, target: str, code: int, sentence: str) -> list[str]:
    """Let a target be full or read-only from a moment on, then be well again; return what is wrong."""
    copied(scenario.prior, home)
    ended = run(scenario.job, home, faults.refuse_from(moment, home / target, code))
    wrong = [f"half a file: {it}" for it in halves(home)]
    if ended.code not in (2, 3, scenario.ended.code):
        wrong.append(f"exit {ended.code}: {ended.said}")
    if ended.code in (2, 3) and not (
        ended.said.startswith("beamstop: ") and sentence in ended.said and ended.said.count("\n") == 1
    ):
        wrong.append(f"said: {ended.said!r}")
    return wrong + settled(scenario, home)


def vanished(scenario: Scenario, home: Path, moment: int, source: Path) -> list[str]:
    """Let a source vanish in a run and come back after it; return what is wrong."""
    copied(scenario.prior, home)
    shutil.copy2(source, home.parent / "kept")
    ended = run(scenario.job, home, faults.vanish_at(moment, source))
    if source.exists():
        raise SystemExit("the source did not vanish")
    shutil.copy2(home.parent / "kept", source)
    wrong = [] if ended.code == 1 else [f"exit {ended.code}: {ended.said}"]
    return wrong + settled(scenario, home)


def changed(
    scenario: Scenario, home: Path, change: Change, moment: int, kill: int | None = None
) -> list[str]:
    """Let a source change in a run, which may be killed later; return what is wrong."""
    copied(scenario.prior, home)
    shutil.copy2(change.before, change.source)
    ended = run(scenario.job, home, faults.change_at(moment, change.source, change.after, kill))
    shutil.copy2(change.after, change.source)  # if the run was over before
    wrong = [f"half a file: {it}" for it in halves(home)]
    if ended.code not in (1, KILLED):
        wrong.append(f"exit {ended.code}: {ended.said}")
    if ended.code == 1:
        wrong += untrue(home, change)
    return wrong + settled(scenario, home)


def changed_since(scenario: Scenario, home: Path, change: Change, kill: int) -> list[str]:
    """Kill a run before a change of the file system, then let a source change; return what is wrong."""
    copied(scenario.prior, home)
    shutil.copy2(change.before, change.source)
    run(scenario.job, home, faults.kill_at(kill))
    shutil.copy2(change.after, change.source)
    return [f"half a file: {it}" for it in halves(home)] + settled(scenario, home)


def too_large(scenario: Scenario, home: Path, limit: int) -> list[str]:
    """Let no file grow beyond a number of bytes, then let a run go on undisturbed; return what is wrong."""
    copied(scenario.prior, home)
    ended = run(scenario.job, home, limit=limit)
    wrong = [f"half a file: {it}" for it in halves(home)]
    if ended.code not in (1, 3) or ended.said.count("\n") > 1:
        wrong.append(f"exit {ended.code}: {ended.said}")
    return wrong + settled(scenario, home)


def full(scenario: Scenario, home: Path, target: str, kilobytes: int) -> list[str]:
    """Give a target a small disk of its own, later a larger one; return what is wrong."""
    copied(scenario.prior, home)
    place = home / target
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], check=True)  # noqa: S607
    try:
        ended = run(scenario.job, home)
        wrong = [f"half a file: {it}" for it in halves(home)]
        if ended.code not in (1, 2, 3) or ended.said.count("\n") > 1:
            wrong.append(f"exit {ended.code}: {ended.said}")
        if ended.code > 1 and os.strerror(errno.ENOSPC) not in ended.said:
            wrong.append(f"said: {ended.said!r}")
        subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)  # noqa: S607
        return wrong + settled(scenario, home)
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


def with_workers(scenario: Scenario, home: Path, files: int, then: Disturb) -> list[str]:
    """Disturb a run with two worker processes, then start it again; return what is wrong.

    What a lost worker was at is left alone once, and said: then a third run makes up for it.
    """
    copied(scenario.prior, home)
    job = replace(scenario.job, workers=2)
    ended = run_processes(job, home, when_there_are(files, home / "output", then))
    wrong = [f"half a file: {it}" for it in halves(home)]
    if then is kill_worker and ended.code == BROKEN and "a worker process was lost" not in ended.said:
        wrong.append(f"said: {ended.said!r}")
    if ended.code not in (KILLED, BROKEN, scenario.ended.code):
        wrong.append(f"exit {ended.code}: {ended.said}")
    again = run_processes(job, home, lambda process: None)
    if again.code != code_of_a_next_run(scenario, home):
        wrong.append(f"the next run ended with {again.code}: {again.said}")
    return wrong + settled(scenario, home)


def at_once(scenario: Scenario, home: Path) -> list[str]:
    """Start two runs into one OUTPUT at once; return what is wrong."""
    copied(scenario.prior, home)
    other: list[Ended] = []

    def _start_another(process: subprocess.Popen[bytes]) -> None:
        command = [sys.executable, "-m", "beamstop_pipeline", *scenario.job.command(home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        other.append(Ended(done.returncode, done.stderr, 0))

    ended = run_processes(scenario.job, home, _start_another)
    codes = sorted([ended.code, other[0].code])
    said = ended.said + other[0].said
    fine = codes == sorted([scenario.ended.code, 2]) and "another run is writing" in said
    fine = fine or codes == [scenario.ended.code] * 2  # one after the other
    return ([] if fine else [f"exits {codes}: {said}"]) + settled(scenario, home)


def disturb(scenario: Scenario, base: Path, chosen: argparse.Namespace, report: Report) -> None:
    """Carry out the trials of one scenario."""
    home, last, rng = base / "trial", scenario.ended.changes, random.Random(chosen.seed)
    few = chosen.faults
    for moment in moments(last, chosen.trials):
        report.trial("killed", f"{scenario.name}, {moment}", killed(scenario, home, moment))
    for _ in range(few):
        twice = rng.randint(1, last), rng.randint(1, last)
        report.trial("killed twice", f"{scenario.name}, {twice}", killed(scenario, home, *twice))
    for target, code in itertools.product(("output", "audit"), (errno.ENOSPC, errno.EROFS)):
        for moment in moments(last, few):
            wrong = refused(scenario, home, moment, target, code, os.strerror(code))
            report.trial(errno.errorcode[code], f"{scenario.name}, {target}, {moment}", wrong)
    for moment in moments(40, few):
        wrong = vanished(scenario, home, moment, scenario.job.archive / "000.dcm")
        report.trial("source vanished", f"{scenario.name}, {moment}", wrong)
    for limit in (300 + it for it in moments(4000, few)):  # what the run says must fit
        report.trial("file too large", f"{scenario.name}, {limit}", too_large(scenario, home, limit))
    if os.getuid() == 0 and scenario.prior.name == "none":
        for target, kilobytes in itertools.product(("output", "audit"), moments(120, few)):
            wrong = full(scenario, home, target, kilobytes)
            report.trial("full disk", f"{scenario.name}, {target}, {kilobytes} kB", wrong)


def disturb_workers(scenario: Scenario, base: Path, chosen: argparse.Namespace, report: Report) -> None:
    """Carry out the trials that need processes of their own."""
    for then, files in itertools.product((kill_all, kill_driver, kill_worker), moments(40, chosen.processes)):
        wrong = with_workers(scenario, base / "trial", files, then)
        report.trial(f"two workers, {then.__name__}", f"{scenario.name}, {files} files", wrong)
    for _ in range(chosen.processes):
        report.trial("two runs at once", scenario.name, at_once(scenario, base / "trial"))


def disturb_sources(base: Path, chosen: argparse.Namespace, report: Report) -> None:
    """Carry out the trials with a source that changes."""
    home, rng = base / "trial", random.Random(chosen.seed)
    for scenario, change in changing(base, chosen.scenario):
        last = scenario.ended.changes
        for moment in moments(last, chosen.faults):
            for kill in (None, rng.randint(moment, last)):
                kind = "source changed" if kill is None else "source changed, killed"
                wrong = changed(scenario, home, change, moment, kill)
                report.trial(kind, f"{scenario.name}, {moment}, {kill}", wrong)
            wrong = changed_since(scenario, home, change, moment)
            report.trial("killed, then source changed", f"{scenario.name}, {moment}", wrong)


def main() -> int:
    """Run the trials; print the figures as JSON; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10**6, help="kills of each scenario, at most")
    parser.add_argument("--faults", type=int, default=20, help="other faults of a kind in each scenario")
    parser.add_argument("--processes", type=int, default=8, help="trials of a kind with worker processes")
    parser.add_argument("--scenario", default="", help="only those whose name holds this")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    report = Report()
    warm_up()
    # In memory where that is possible: killing proves nothing about what a loss of power leaves.
    memory = next(filter(os.path.isdir, ["/dev/shm"]), None)  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="stress-", dir=memory) as folder:
        base = Path(folder)
        for scenario in scenarios(base, chosen.scenario):
            disturb(scenario, base, chosen, report)
            if scenario.prior.name != "whole":
                disturb_workers(scenario, base, chosen, report)
            tell(f"{scenario.name}: {dict(report.tried)}, lost {len(report.lost)}")
        disturb_sources(base, chosen, report)
        tell(f"{dict(report.tried)}, lost {len(report.lost)}")
    sys.stdout.write(json.dumps({"tried": report.tried, "lost": report.lost}, indent=1) + "\n")
    return int(bool(report.lost))


def tell(line: str) -> None:
    """Say on stderr how far it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def warm_up() -> None:
    """Import what every run needs, so that forked ones need not."""
    running = ("beamstop_pipeline.running.display", "beamstop_pipeline.running.runner")
    for name in ("beamstop.recipe.load", *running):
        importlib.import_module(name)
    _hasten_beam()


def _hasten_beam() -> None:
    """Let Beam build its graph in half the time: it parses its options a thousand times, all alike."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.transforms import userstate

    views: dict[tuple[int, type], Any] = {}
    view_as = PipelineOptions.view_as

    def _view_as(self: Any, cls: Any) -> Any:
        known = id(self._all_options), cls  # which a view holds, so that no other has its number
        if known not in views:
            views[known] = view_as(self, cls)
        return views[known]

    PipelineOptions.view_as = _view_as
    userstate.get_dofn_specs = functools.cache(userstate.get_dofn_specs)


if __name__ == "__main__":
    sys.exit(main())
