"""`make mutants`: put one fault at a time into a copy of the code, and see whether the tests notice it.

    python -m tests.mutants --mutants 60 --seed 1 --seconds 3600

The sample is random, and the same for the same seed and code. Faults in annotations and decorators are left
out: the former change nothing, the latter break every test.

The tests of the sampled rooms run once without a fault, while coverage records which test runs which line.
Then, for each fault, the tests that run its statement are tried, the nearest and fastest first, until one
fails. Outcomes go to build/mutants/outcomes-DIGEST.jsonl, and the diff of each survivor to survivors.diff
beside it.

A second run with the same code, tests, seed and room continues where the first one stopped.
"""

import argparse
import ast
import difflib
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.nearest import TIMES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
_SOURCES = ("transforms", "pipeline")
_LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "demo-out", "__pycache__")
_CORE, _BEAM = "transforms/beamstop", "transforms/beamstop_transforms"
# Code that gets faults → its tests, the nearest first. The examples in its docstrings run before them.
ROOMS = {
    f"{_CORE}/words": ("tests/core/words", "tests/core/leaks", "tests/core/steps"),
    f"{_CORE}/leaks": ("tests/core/leaks", "tests/core/steps"),
    f"{_CORE}/identity.py": ("tests/core/test_identity.py", "tests/core/rules", "tests/core/steps"),
    f"{_CORE}/rules": (
        "tests/core/rules",
        "tests/core/steps",
        "tests/core/recipe",
        "tests/core/test_chain.py",
    ),
    f"{_CORE}/text": ("tests/core/text", "tests/core/recipe", "tests/core/test_chain.py"),
    f"{_CORE}/verify.py": ("tests/core/test_verify.py", "tests/hostile/test_found_by_fuzzing.py"),
    **{
        f"{_BEAM}/{it}": ("tests/transforms", "tests/pipeline/test_prune.py", "tests/pipeline/test_graph.py")
        for it in ("ledger", "placing.py", "contested.py", "sweep.py", "losers.py", "release.py")
    },
}
# Limits of CPU time and of wall time, for tests that a fault makes hang: seconds, plus a multiple of the time
# without a fault. On a busy machine, tests that do not hang take little CPU time but may wait long for it.
_PROCESSOR, _CLOCK = (15, 3), (300, 10)
# Seconds of tests that are tried first: few tests are fast to collect, and most faults are noticed by them.
_FIRST = 5.0
# If fewer tests run a statement, it may fill a cache or a constant that other tests use: all tests are tried.
_FEW = 10
_HOW = (
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "tests.nearest",
    "-m",
    "not ocr and not workers",
    "--ignore=tests/transforms/stores",
)
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "apache_beam",
        "hypothesis",
        "lxml.etree",
        "numpy",
        "pyarrow",
        "pydantic",
        "pydicom",
        "pytest",
        "ruamel.yaml",
    ]
)
_NOT_THESE = ("core/RemoveDecorator", "core/VariableReplacer", "core/VariableInserter")


class Fault(NamedTuple):
    """One fault: file, name of the operator, its occurrence in the file, line, and tests of the room."""

    path: str
    operator: str
    occurrence: int
    line: int
    tests: tuple[str, ...]


def main() -> None:
    """Try a sample of faults until all are tried or time is up; print how many the tests noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--room", default="", help="only files whose path has this in it")
    wanted = parser.parse_args()
    started = time.monotonic()
    shutil.rmtree(FOLDER / "tree", ignore_errors=True)
    tree = shutil.copytree(ROOT, FOLDER / "tree", ignore=_LEFT_OUT)
    every = [variants for variants in places() if wanted.room in variants[0].path]
    random = Random(wanted.seed)
    sample = [random.choice(it) for it in random.sample(every, min(wanted.mutants, len(every)))]
    looked_at = sorted({path for fault in sample for path in fault.tests})
    digest = _digest(tree, (*looked_at, *_HOW))
    tests = _look(tree, looked_at, digest)
    noted = FOLDER / f"outcomes-{digest}.jsonl"
    outcomes = dict(map(json.loads, noted.read_text().splitlines())) if noted.exists() else {}
    for fault in sample:
        name = f"{fault.path}:{fault.line} {fault.operator} {fault.occurrence}"
        if name not in outcomes and time.monotonic() - started < wanted.seconds:
            outcomes[name] = try_fault(fault, tree, tests)
            print(f"{outcomes[name]:9} {name}", flush=True)  # noqa: T201
            with open(noted, "a") as file:
                file.write(json.dumps([name, outcomes[name]]) + "\n")
    names = {f"{fault.path}:{fault.line} {fault.operator} {fault.occurrence}" for fault in sample}
    counts = Counter(outcome for name, outcome in outcomes.items() if name in names)
    print(json.dumps({"places": len(every), "seed": wanted.seed, "tried": counts.total(), **counts}))  # noqa: T201


def places() -> Iterator[list[Fault]]:
    """Yield the possible faults at each place, such as `<` or `>=` in place of `>`.

    A place counts once, however many faults it can have. The order is always the same.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    operators = {name: get_operator(name)() for name in sorted(operator_names()) if name not in _NOT_THESE}
    for room, tests in ROOMS.items():
        place = ROOT / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            dull = _dull(path.read_text())
            nodes = list(ast_nodes(get_ast(path.read_text())))
            here = defaultdict[tuple[str, int, int], list[Fault]](list)
            for name, operator in operators.items():
                found = [start for node in nodes for start, _ in operator.mutation_positions(node)]
                for occurrence, (line, column) in enumerate(found):
                    if not any(first <= (line, column) < last for first, last in dull):
                        fault = Fault(str(path.relative_to(ROOT)), name, occurrence, line, (room, *tests))
                        here[name.rpartition("_")[0] or name, line, column].append(fault)
            yield from here.values()


def _dull(code: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the start and end (line, column) of every annotation and decorator."""
    places: list[ast.expr] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            places += node.decorator_list
        if isinstance(node, ast.FunctionDef) and node.returns:
            places.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            places.append(node.annotation)
    return [((it.lineno, it.col_offset), (it.end_lineno or 0, it.end_col_offset or 0)) for it in places]


class Looked(NamedTuple):
    """The tests without a fault.

    Attributes:
        lines: file → line → names of the tests that run it; an empty name for imports.
        times: name → seconds.
    """

    lines: dict[str, dict[int, set[str]]]
    times: dict[str, float]

    def in_order(self, fault: Fault, code: str) -> list[str]:
        """Return the tests of a fault's room that run its statement, near and fast ones first.

        The room's other tests follow if the statement runs once for many: at import, or to fill a cache.
        """
        lines = self.lines.get(fault.path, {})
        running = set[str]().union(*(lines.get(line, ()) for line in _statement(code, fault.line)))
        ranks = {
            name: rank for rank, it in enumerate(fault.tests) for name in self.times if name.startswith(it)
        }
        if "" not in running and len(running & ranks.keys()) >= _FEW:
            ranks = {name: rank for name, rank in ranks.items() if name in running}
        return sorted(ranks, key=lambda name: (name not in running, ranks[name], self.times[name]))

    def first(self, names: list[str]) -> int:
        """Return how many of these tests are tried before the rest: those of the first 5 s."""
        spent = accumulate(self.times[name] for name in names)
        return sum(seconds <= _FIRST for seconds in spent)


def _statement(code: str, line: int) -> range:
    """Return the lines of the innermost statement at a line, up to the first statement inside it."""
    best = range(0)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            inside = [it.lineno for it in ast.iter_child_nodes(node) if isinstance(it, ast.stmt)]
            end = min([it for it in inside if it > line], default=(node.end_lineno or 0) + 1)
            best = range(node.lineno, end)
    return best


def _digest(tree: Path, tests: Sequence[str]) -> str:
    """Return one digest of all files of the copy and of the chosen tests."""
    files = [path for path in sorted(tree.rglob("*")) if path.is_file() and path.suffix != ".md"]
    state = hashlib.sha256("\0".join(tests).encode())
    for path in files:
        state.update(f"\0{path.relative_to(tree)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:16]


def _look(tree: Path, tests: list[str], digest: str) -> Looked:
    """Run the tests without a fault. They must pass, or every fault would seem to be noticed."""
    from coverage import CoverageData

    coverage, times = FOLDER / f"{digest}.coverage", FOLDER / f"{digest}.json"
    if not times.exists():
        broken = [f"{it}/*" if (tree / it).is_dir() else it for it in ROOMS]
        command = [sys.executable, "-m", "coverage", "run", f"--include={','.join(broken)}", "-m", "pytest"]
        environment = {
            **os.environ,
            "COVERAGE_CORE": "ctrace",
            "COVERAGE_FILE": str(coverage),
            "PYTHONPATH": os.pathsep.join(str(tree / it) for it in _SOURCES),
        }
        done = subprocess.run(
            [*command, *_HOW, *tests], cwd=tree, env=environment, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(tests)}: these fail without any fault")
        shutil.move(tree / TIMES, times)
    noted = CoverageData(str(coverage))
    noted.read()
    lines = {
        str(Path(path).relative_to(tree.resolve())): {
            line: set(names) for line, names in noted.contexts_by_lineno(path).items()
        }
        for path in noted.measured_files()
    }
    return Looked(lines, json.loads(times.read_text()))


def try_fault(fault: Fault, tree: Path, tests: Looked) -> str:
    """Put one fault into the copy of the code, and return `noticed`, `hung`, or `survived`."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path = tree / fault.path
    before = path.read_text()
    after = mutate_code(before, get_operator(fault.operator)(), fault.occurrence)
    if after is None:
        raise LookupError(f"{fault.path}: no fault {fault.operator} {fault.occurrence}")
    names = tests.in_order(fault, before)
    first = tests.first(names)
    code: int | None = 0
    try:
        path.write_text(after)
        for part in filter(None, (names[:first], names[first:])):
            if code == 0:
                code = _run(tree, part, tests)
    finally:
        path.write_text(before)
    if code == 0:
        difference = difflib.unified_diff(
            before.splitlines(), after.splitlines(), fault.path, "", "", "", 2, ""
        )
        with open(FOLDER / "survivors.diff", "a") as file:
            file.write("\n".join(difference) + "\n\n")
        return "survived"
    return "hung" if code is None else "noticed"


def _run(tree: Path, names: list[str], tests: Looked) -> int | None:
    """Return the exit code of pytest, from a process forked with the libraries loaded; None if it hung."""
    asked = FOLDER / "tests.json"
    asked.write_text(json.dumps(names))
    took = sum(map(tests.times.__getitem__, names))
    processor, clock = (least + round(times * took) for least, times in (_PROCESSOR, _CLOCK))
    arguments = ["-x", *_HOW, *dict.fromkeys(name.split("::")[0] for name in names)]
    process = _PROCESSES.Process(target=_run_here, args=(tree, arguments, asked, processor))
    process.start()
    process.join(clock)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    if process.exitcode == -signal.SIGXCPU:
        return None
    # pytest found no such test: a fault may rename parametrised tests.
    none = 5
    return 0 if process.exitcode == none else process.exitcode


def _run_here(tree: Path, arguments: list[str], names: Path, seconds: int) -> None:
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    os.chdir(tree)
    os.environ |= {"BEAMSTOP_TESTS": str(names), "HYPOTHESIS_DATABASE": ""}
    os.environ["PYTHONPATH"] = os.pathsep.join(str(tree / it) for it in _SOURCES)
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(tree), *(str(tree / it) for it in _SOURCES)]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.exit(pytest.main(arguments))


if __name__ == "__main__":
    main()
