"""`make mutants`: one fault at a time in a copy of the code that decides, and whether the tests notice.

    python -m tests.mutants --mutants 60 --seed 1 --seconds 3600

The sample is drawn at random and is the same for the same seed and code. Faults in annotations and decorators
are left out: the one changes nothing, the other stops everything. Writes build/mutants/outcomes.json, and the
difference of each survivor beside it.
"""

import argparse
import ast
import difflib
import json
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

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
_SOURCES = ("transforms", "pipeline")
_LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "demo-out", "__pycache__")
_CORE, _BEAM = "transforms/beamstop", "transforms/beamstop_transforms"
# What is broken, and the tests of its rooms, the nearest first: the first failure ends them.
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
_TIMEOUT = 300  # seconds; a fault that makes the tests hang is noticed, too
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
    _check_unbroken(tree, sample)
    outcomes = Counter[str]()
    for fault in sample:
        if time.monotonic() - started > wanted.seconds:
            break
        outcome = try_fault(fault, tree)
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
                        fault = Fault(str(path.relative_to(ROOT)), name, occurrence, line, tests)
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


def try_fault(fault: Fault, tree: Path) -> str:
    """Return `noticed`, `hung`, or `survived` for one fault in a copy of the code."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    path = tree / fault.path
    before = path.read_text()
    after = mutate_code(before, get_operator(fault.operator)(), fault.occurrence)
    if after is None:
        raise LookupError(f"{fault.path}: no fault {fault.operator} {fault.occurrence}")
    try:
        path.write_text(after)
        code = _run(tree, fault.tests)
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


def _run(tree: Path, tests: tuple[str, ...]) -> int | None:
    """Return the exit code of a room's tests, None if they took too long."""
    paths = os.pathsep.join(str(tree / it) for it in _SOURCES)
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_DATABASE": "",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    chosen = ["-m", "not ocr and not workers", *tests]
    try:
        done = subprocess.run(
            [*command, *chosen], cwd=tree, env=environment, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def _check_unbroken(tree: Path, sample: list[Fault]) -> None:
    """Stop if the tests fail without a fault: all faults would seem to be noticed."""
    for tests in sorted({fault.tests for fault in sample}):
        if _run(tree, tests) != 0:
            raise SystemExit(f"{' '.join(tests)}: these fail without any fault")


if __name__ == "__main__":
    main()
