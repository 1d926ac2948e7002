"""A search for many texts at once, in one pass over the text they may stand in."""

from collections.abc import Iterable, Iterator

from ahocorasick_rs import AhoCorasick, Implementation

from beamstop.dicom.deadline import check_time

_KIND = Implementation.ContiguousNFA  # the others search a little faster but take longer to build
_LETTERS_AT_ONCE = 1 << 20  # of what they are looked for in
_AT_ONCE = 1 << 14  # texts: an automaton is built in a time that grows by the square of their number


class TextSearch:
    """Finds many texts in one in one pass, or one for each few thousands of them.

    Args:
        texts: what is searched for.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts)
        self._overlap = max(map(len, self._texts), default=0)
        self._parts = {
            begin: AhoCorasick(self._texts[begin : begin + _AT_ONCE], implementation=_KIND)
            for begin in range(0, len(self._texts), _AT_ONCE)
        }

    def __bool__(self) -> bool:
        return bool(self._parts)

    def matches(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield text, start and end of every place where one stands, overlapping ones too."""
        step = max(_LETTERS_AT_ONCE, self._overlap)
        for offset in range(0, len(text), step):
            check_time()
            piece = text[offset : offset + step + self._overlap]  # all matches of a piece come as one list
            for begin, part in self._parts.items():
                for index, start, end in part.find_matches_as_indexes(piece, overlapping=True):
                    if start < step:
                        yield self._texts[begin + index], offset + start, offset + end
