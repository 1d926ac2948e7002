"""Write data/vocabulary.txt: the words in DICOM's dictionaries and code meanings.

Run `python tools/make_vocabulary.py [TARGET]` with the pydicom that pyproject.toml pins. Words in names of
attributes, and lower-case words in code meanings, are ordinary and are written in lower case. Words that are
always capitalised (mostly eponyms and first words of meanings) are written with a capital: they are known in
a description, but may be somebody's name.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._uid_dict import UID_dictionary
from pydicom.sr._concepts_dict import concepts

from beamstop.standard.transfer_syntaxes import NEWER
from beamstop.words.vocabulary import fold

TARGET = Path(__file__).parent.parent / "transforms" / "beamstop" / "data" / "vocabulary.txt"
# Context groups of breeds, their registries and animal taxa: thousands of names of places and people.
OTHER_CONTEXT_GROUPS = {7454, 7480, 7481, 7486}
_WORD = re.compile(r"[^\W\d_]+")


def code_meanings() -> Iterator[str]:
    """Yield the meaning of every code in pydicom's context groups, except those of animal breeds."""
    schemes: Any = concepts
    for scheme in schemes.values():
        for codes in scheme.values():
            for meaning, groups in codes.values():
                if not OTHER_CONTEXT_GROUPS.issuperset(groups) and "breed" not in meaning.lower():
                    yield meaning


def main(target: Path) -> None:
    """Collect the words and write the file."""
    entries = [*DicomDictionary.values(), *RepeatersDictionary.values()]
    names = [entry[2] for entry in entries] + [entry[0] for entry in UID_dictionary.values()]
    names += NEWER.values()
    ordinary = {fold(word) for name in names for word in _WORD.findall(name)}
    capitalised: set[str] = set()
    for meaning in code_meanings():
        for word in _WORD.findall(meaning):
            (ordinary if word.islower() else capitalised).add(fold(word))
    lines = {word for word in ordinary if len(word) > 1}
    lines |= {word.capitalize() for word in capitalised - ordinary if len(word) > 1}
    target.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    print(f"{len(lines)} words, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
