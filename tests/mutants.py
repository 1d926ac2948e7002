"""`make mutants`: one fault at a time in a copy of the code that decides, and whether the tests notice.

    python -m tests.mutants --mutants 60 --seed 1 --seconds 3600

The sample is drawn at random and is the same for the same seed and code. Faults in annotations and decorators
are left out: the one changes nothing, the other stops everything.

All tests run once without a fault, and coverage notes which of them run which line. A fault is then shown to
the tests of its room, first to those that run its statement, the nearest and quickest first, until one fails.
Writes build/mutants/outcomes.json, and the difference of each survivor beside it.
"""

import argparse
import ast
import difflib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.nearest import TIMES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
_SOURCES = ("transforms", "pipeline")
_LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "demo-out", "__pycache__")
_CORE, _BEAM = "transforms/beamstop", "transforms/beamstop_transforms"
# What is broken, and the tests of its rooms, the nearest first; before them, the examples in its docstrings.
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
    f"{_BEAM}/ledger": ("tests/transforms", "tests/pipeline/test_prune.py", "tests/pipeline/test_graph.py"),
    f"{_BEAM}/placing.py": ("tests/transforms/test_placing.py", "tests/transforms"),
}
# Seconds, and times what the tests took without a fault: one that makes them hang is noticed, too.
_TIMEOUT = (300, 10)
_HOW = ("-q", "-p", "no:cacheprovider", "-p", "tests.nearest", "-m", "not ocr and not workers")
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
    """One fault: the file, what the operator is called, its number there, the line, and the room's tests."""

    path: str
    operator: str
    occurrence: int
    line: int
    tests: tuple[str, ...]


def main() -> None:
    """Try a sample of faults until they or the time are over; tell how many the tests noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--room", default="", help="only files whose path has this in it")
    wanted = parser.parse_args()
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    tree = shutil.copytree(ROOT, FOLDER / "tree", ignore=_LEFT_OUT)
    every = [variants for variants in places() if wanted.room in variants[0].path]
    random = Random(wanted.seed)
    sample = [random.choice(it) for it in random.sample(every, min(wanted.mutants, len(every)))]
    tests = _look(tree, sorted({path for fault in sample for path in fault.tests}))
    outcomes = Counter[str]()
    for fault in sample:
        if time.monotonic() - started > wanted.seconds:
            break
        outcome = try_fault(fault, tree, tests)
        outcomes[outcome] += 1
        print(f"{outcome:9} {fault.path}:{fault.line} {fault.operator} {fault.occurrence}", flush=True)  # noqa: T201
    said: dict[str, Any] = {"places": len(every), "seed": wanted.seed, "tried": outcomes.total(), **outcomes}
    (FOLDER / "outcomes.json").write_text(json.dumps(said, indent=1))
    print(json.dumps(said))  # noqa: T201


def places() -> Iterator[list[Fault]]:
    """Yield the faults that can be made at each place, such as `<` for `>`, `>=` and so on.

    A place counts once, and always comes in the same order.
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
    """Return where annotations and decorators begin and end."""
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
    """What is known of tests: which of them run which line of a file, and the seconds that each takes."""

    lines: dict[str, dict[int, set[str]]]
    times: dict[str, float]

    def in_order(self, fault: Fault, code: str) -> list[str]:
        """Return the tests of a fault's room: those that run its statement first, near and quick ones first.

        The others follow: what a statement makes may be kept for them in a constant or a cache.
        """
        lines = self.lines.get(fault.path, {})
        running = set[str]().union(*(lines.get(line, ()) for line in _statement(code, fault.line)))
        ranks = {
            name: rank for rank, it in enumerate(fault.tests) for name in self.times if name.startswith(it)
        }
        return sorted(ranks, key=lambda name: (name not in running, ranks[name], self.times[name]))


def _statement(code: str, line: int) -> range:
    """Return the lines of the innermost statement without those in it."""
    best = range(0)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            inside = [it.lineno for it in ast.iter_child_nodes(node) if isinstance(it, ast.stmt)]
            end = min([it for it in inside if it > line], default=(node.end_lineno or 0) + 1)
            best = range(node.lineno, end)
    return best


def _look(tree: Path, tests: list[str]) -> Looked:
    """Run the tests without a fault, which must succeed: all faults would seem to be noticed."""
    from coverage import CoverageData

    broken = [f"{it}/*" if (tree / it).is_dir() else it for it in ROOMS]
    command = [sys.executable, "-m", "coverage", "run", f"--include={','.join(broken)}", "-m", "pytest"]
    environment = {
        **os.environ,
        "COVERAGE_CORE": "ctrace",
        "PYTHONPATH": os.pathsep.join(str(tree / it) for it in _SOURCES),
    }
    done = subprocess.run(
        [*command, *_HOW, *tests], cwd=tree, env=environment, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(tests)}: these fail without any fault")
    noted = CoverageData(str(tree / ".coverage"))
    noted.read()
    lines = {
        str(Path(path).relative_to(tree.resolve())): {
            line: set(names) for line, names in noted.contexts_by_lineno(path).items()
        }
        for path in noted.measured_files()
    }
    return Looked(lines, json.loads((tree / TIMES).read_text()))


def try_fault(fault: Fault, tree: Path, tests: Looked) -> str:
    """Return `noticed`, `hung`, or `survived` for one fault in a copy of the code."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path = tree / fault.path
    before = path.read_text()
    after = mutate_code(before, get_operator(fault.operator)(), fault.occurrence)
    if after is None:
        raise LookupError(f"{fault.path}: no fault {fault.operator} {fault.occurrence}")
    names = tests.in_order(fault, before)
    files = dict.fromkeys(name.split("::")[0] for name in names)
    (FOLDER / "tests.json").write_text(json.dumps(names))
    least, times = _TIMEOUT
    seconds = least + times * sum(map(tests.times.__getitem__, names))
    try:
        path.write_text(after)
        code = _run(tree, ["-x", *_HOW, *files], FOLDER / "tests.json", seconds)
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


def _run(tree: Path, arguments: list[str], names: Path, seconds: float) -> int | None:
    """Return the exit code of pytest in a process that has the libraries already; None if it hung."""
    process = _PROCESSES.Process(target=_run_here, args=(tree, arguments, names))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _run_here(tree: Path, arguments: list[str], names: Path) -> None:
    import pytest

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
