"""`make fuzz`: break real files in ways that coverage finds new, for as long as asked.

    python -m tests.hostile.fuzz --seconds 1200

Stops at the first promise that is broken, and keeps the input in build/fuzz/. Memory beyond 4 GB and
inputs that take longer than five minutes count as broken promises.
"""

import argparse
import json
import logging
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

FOLDER = Path("build/fuzz")
LARGEST = 65_536
MEGABYTES, SECONDS = 4096, 300
_TELL_EVERY = 100
_OURS = 4  # of five inputs are broken where elements are; the others by atheris alone


def main() -> None:
    """Fuzz until the time is over or something is found."""
    import atheris

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["beamstop", "pydicom"]):
        from tests.hostile.mutations import mutated
        from tests.hostile.target import judge, recipes, seeds

    kinds, outcomes, started = recipes(), Counter[str](), time.monotonic()
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in seeds(LARGEST):
        (corpus / f"{path.stat().st_size}-{path.name}").write_bytes(path.read_bytes())

    def one(data: bytes) -> None:
        outcomes[judge(data, kinds[sum(data[-64:]) % len(kinds)])] += 1
        if outcomes.total() % _TELL_EVERY == 0:
            tell()

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        if seed % 5 >= _OURS:
            return bytes(atheris.Mutate(data, largest))
        return mutated(data, seed)[:largest]

    def tell() -> None:
        seconds = round(time.monotonic() - started)
        said = {"inputs": outcomes.total(), "seconds": seconds, **dict(outcomes.most_common())}
        (FOLDER / "outcomes.json").write_text(json.dumps(said, indent=1))

    options = [f"-max_total_time={wanted.seconds}", f"-seed={wanted.seed}", f"-max_len={4 * LARGEST}"]
    options += [f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS}", f"-artifact_prefix={FOLDER}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
