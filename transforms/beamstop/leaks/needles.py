"""Needles: what CheckLeaks searches for, made from an instance's identifiers by the rules in `search`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from unicodedata import combining, normalize

from beamstop.dicom.deadline import check_time
from beamstop.words.broken_up import BrokenUp
from beamstop.words.identifiers import Identifiers, Name, Words, address_numbers, runs_of, telephone_numbers
from beamstop.words.national_numbers import packed_births
from beamstop.words.vocabulary import (
    is_common_word,
    is_letters,
    is_placeholder,
    is_syllabic,
    is_unparted,
    vocabulary,
)
from beamstop.words.writings import NameWords, OwnWritings, apart
from beamstop.words.written_dates import other_years, packed_days

MIN_LENGTH = 4
MIN_DIGITS = 4
MIN_RUN = 5
YEARS = range(1900, 2100)
MIN_PLACE_WORD = 5
MIN_UID_LENGTH = 10
MIN_SYLLABLES = 2
MIN_PHONE = 7
MAX_JOINED = 192  # letters: three components of a name (PS3.5 6.2)


@dataclass
class Needles:
    """The needles, made from Identifiers by rules 1 to 8, 10 and 11.

    Attributes:
        words: found as whole words.
        phrases: found word after word, with anything but letters and digits between them, or joined.
        literals: found as they are.
        numbers: digits, found with separators between them.
        phones: digits of telephone numbers, found with more separators, after a country code or a zero.
        spellings: words that are not plain ASCII, lower case, with their accents and without.
        digits: the numbers, and the dates without separators.
        years: of the dates.
        other_years: of the dates, in other calendars and numerals; of births, of two digits.
        births: the dates of birth as in national numbers, and with a year of two digits.
        broken: words, phrases, numbers and dates, with something between their letters.
        forms: the words of persons' names, however they are written.
        writings: of the names, in texts without spaces or with lost letters.
        count: of identifiers that gave at least one needle; UIDs are not among them.
    """

    identifiers: Identifiers
    words: set[str] = field(default_factory=set)
    phrases: set[Words] = field(default_factory=set)
    literals: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    spellings: set[str] = field(default_factory=set)
    digits: set[str] = field(default_factory=set)
    years: set[str] = field(default_factory=set)
    other_years: set[str] = field(default_factory=set)
    births: set[str] = field(default_factory=set)
    broken: BrokenUp = field(default_factory=BrokenUp)
    forms: NameWords = field(default_factory=NameWords)
    writings: OwnWritings = field(default_factory=OwnWritings)
    count: int = 0

    def __post_init__(self) -> None:
        self._persons: set[str] = set()
        makers: list[tuple[Iterable[Any], Any]] = [
            (self.identifiers.names, self._add_name),
            (self.identifiers.ids, self._add_id),
            (self.identifiers.places, self._add_place),
            (self.identifiers.contacts, self._add_contact),
        ]
        for values, add in makers:
            for value in values:
                check_time()
                self.count += bool(add(value))
        self.count += len(self.identifiers.dates)
        dates = self.identifiers.dates
        self.digits = self.numbers.union(*map(packed_days, dates))
        self.years = {f"{day.year}" for day in dates}
        self.other_years = {sign for day in dates for sign in other_years(day)}
        self.other_years |= {f"{day:%y}" for day in self.identifiers.births}
        self.births = {
            form for day in self.identifiers.births for form in (*packed_births(day), f"{day:%m%d%y}")
        }
        self.forms = NameWords(self._persons, self.identifiers.kept)
        self.phrases.update(pair for word in self._persons for pair in apart(word))
        spellings = self.identifiers.spellings
        self.broken = BrokenUp(self.words | self.digits | set(map("".join, self.phrases)))
        self.writings = OwnWritings(
            self.identifiers.names, spellings, self.identifiers.misread, self.words, MIN_LENGTH
        )
        parted = {word for word in spellings if not is_unparted(word)}
        self.spellings = {
            word
            for word in parted | set(map(_without_accents, parted))
            if not word.isascii() and len(word) >= MIN_LENGTH
        }

    def _add_name(self, name: Name) -> bool:
        parts = [word for component in name for word in component]
        singles = {word for word in parts if self._tells(word)}
        singles |= {joined for component in name if self._tells(joined := "".join(component))}
        self.words |= singles | self._joined(name)
        self._persons |= singles
        if singles.issuperset(parts) or len(name) < 2:  # each word is a needle on its own
            return bool(singles)
        family, given = name[0], name[1]
        pairs = {family + given, given + family}
        if all(map(is_common_word, family + given)) and any(map(is_placeholder, family + given)):
            self.literals.add(" ".join(family) + "^" + " ".join(given))
        elif sum(map(len, family + given)) >= MIN_LENGTH:
            self.phrases |= pairs
        else:
            return bool(singles)
        return True

    def _joined(self, name: Name) -> set[str]:
        """Return a name as one word: in either order, in full or with initials (JSMITH)."""
        if len(name) < 2 or sum(map(len, chain(*name))) > MAX_JOINED:
            return set()
        if any(is_placeholder(word) for component in name for word in component):
            return set()
        family, *others = map("".join, name)
        initials = "".join(other[0] for other in others)
        ways = {
            family + others[0],
            others[0] + family,
            "".join([family, *others]),
            "".join([*others, family]),
        }
        if self._tells(family):
            ways |= {family + initials[0], initials[0] + family, family + initials, initials + family}
        return {way for way in ways if self._tells(way)}

    def _add_id(self, words: Words) -> bool:
        joined = "".join(words)
        if joined in self.identifiers.kept:
            return False
        if joined.isdecimal():
            return self._add_number(joined)
        if is_letters(joined):
            if len(words) == 1:
                return self._add_word(joined)
            return self._add_phrase(words)
        if is_common_word(joined) or len(joined) < MIN_LENGTH:
            return False
        runs = runs_of(words)
        self.phrases.add(runs if max(map(len, runs)) >= MIN_LENGTH else words)
        for part in words:
            if part.isdecimal():
                self._add_part(part)
        for run in runs:
            if run.isdecimal() and len(run.lstrip("0")) >= MIN_RUN:
                self._add_part(run)
        return True

    def _add_part(self, digits: str) -> None:
        if digits.lstrip("0") not in self.identifiers.kept_devices:
            self._add_number(digits)

    def _add_place(self, words: Words) -> bool:
        for word in words:
            if len(word) >= MIN_PLACE_WORD and is_letters(word) and word not in vocabulary():
                self._add_word(word)
        self.phrases.update(address_numbers(words))
        return self._add_phrase(words)

    def _add_contact(self, words: Words) -> bool:
        self.phones.update(digits for digits in telephone_numbers(words) if len(digits) >= MIN_PHONE)
        joined = "".join(words)
        return self._add_number(joined) if joined.isdecimal() else self._add_phrase(words)

    def _add_word(self, word: str) -> bool:
        if self._tells(word):
            self.words.add(word)
        return word in self.words

    def _add_phrase(self, words: Words) -> bool:
        if all(map(is_common_word, words)) or sum(map(len, words)) < MIN_LENGTH:
            return False
        self.phrases.add(words)
        return True

    def _add_number(self, digits: str) -> bool:
        bare = digits.lstrip("0")
        tells = len(bare) >= MIN_DIGITS and not (len(bare) == MIN_DIGITS and int(bare) in YEARS)
        if tells:
            self.numbers |= {bare, digits}
        return tells

    def _tells(self, word: str) -> bool:
        if word.isdecimal() or is_common_word(word) or word in self.identifiers.kept:
            return False
        return len(word) >= MIN_LENGTH or (is_syllabic(word) and len(word) >= MIN_SYLLABLES)


def _without_accents(word: str) -> str:
    """Return a word without accents, in its own case: `fold` would change a Greek final sigma."""
    return normalize("NFC", "".join(it for it in normalize("NFD", word) if not combining(it)))
