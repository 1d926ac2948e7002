"""A search for many texts at once, in one pass over the text they may stand in."""

from collections.abc import Iterable, Iterator

from ahocorasick_rs import AhoCorasick, Implementation

from beamstop.dicom.deadline import check_time

_KIND = Implementation.ContiguousNFA  # the others search a little faster but take longer to build
LONGEST = 512  # letters or bytes that are looked for; of what is longer the first are, and then the rest
_LETTERS_AT_ONCE = 1 << 20  # of what they are looked for in
_AT_ONCE = 1 << 14  # texts: an automaton is built in a time that grows by the square of their number


class TextSearch:
    """Finds many texts in one in one pass, or one for each few thousands of them.

    Args:
        texts: what is searched for.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._whole: dict[str, list[str]] = {}
        for text in sorted(texts):
            self._whole.setdefault(text[:LONGEST], []).append(text)
        self._texts = list(self._whole)
        self._parts: dict[int, AhoCorasick] = {}
        for begin in range(0, len(self._texts), _AT_ONCE):
            check_time()
            self._parts[begin] = AhoCorasick(self._texts[begin : begin + _AT_ONCE], implementation=_KIND)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def matches(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield text, start and end of every place where one stands, overlapping ones too."""
        for offset in range(0, len(text), _LETTERS_AT_ONCE):
            piece = text[offset : offset + _LETTERS_AT_ONCE + LONGEST]  # its matches come as one list
            for begin, part in self._parts.items():
                check_time()
                for index, start, _ in part.find_matches_as_indexes(piece, overlapping=True):
                    at = offset + start
                    for whole in self._whole[self._texts[begin + index]] if start < _LETTERS_AT_ONCE else ():
                        if text.startswith(whole, at):
                            yield whole, at, at + len(whole)
