"""Rules, rule sets and the profile that they make."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from beamstop.rules.operators import Operator
from beamstop.rules.tag_identifiers import Identifier, SingleTag, TagPath, parse_identifier
from beamstop.standard.actions import Action


@dataclass(frozen=True)
class Rule:
    """What is done to the attributes that an identifier fits.

    Attributes:
        identifier: an `Identifier`, or text as `parse_identifier` reads it.
        operation: an action code of Table E.1-1, or an operator of one's own.
        origin: rule set and line, as the audit shows it.
        fallback: the action where `operation` is C and the value cannot be cleaned (an unparsable
            date, a payload): that of the Basic Profile.
    """

    identifier: Identifier
    operation: Action | Operator
    origin: str = ""
    fallback: Action = Action.X

    def __init__(
        self,
        identifier: Identifier | str | int,
        operation: Action | Operator | str,
        origin: str = "",
        fallback: Action = Action.X,
    ) -> None:
        if isinstance(identifier, int):
            identifier = SingleTag(identifier)
        elif isinstance(identifier, str):
            identifier = parse_identifier(identifier)
        object.__setattr__(self, "identifier", identifier)
        object.__setattr__(self, "operation", Action(operation) if isinstance(operation, str) else operation)
        object.__setattr__(self, "origin", origin or str(identifier))
        object.__setattr__(self, "fallback", fallback)

    @property
    def code(self) -> str:
        """The action code, such as `X/Z`."""
        action = self.operation.action if isinstance(self.operation, Operator) else self.operation
        return action.value


@dataclass(frozen=True)
class RuleSet:
    """Rules under a name; of two for the same identifier the later holds."""

    rules: tuple[Rule, ...]
    name: str = ""

    def __init__(self, rules: Iterable[Rule], name: str = "") -> None:
        object.__setattr__(self, "rules", tuple(rules))
        object.__setattr__(self, "name", name)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)


@dataclass(frozen=True)
class Profile:
    """Rule sets in order: the more specific identifier wins, among equals the later set."""

    rule_sets: tuple[RuleSet, ...]
    name: str = ""
    _exact: dict[int, Rule] = field(default_factory=dict, repr=False, compare=False)
    _paths: dict[int, list[Rule]] = field(default_factory=dict, repr=False, compare=False)
    _wide: list[Rule] = field(default_factory=list, repr=False, compare=False)

    def __init__(self, rule_sets: Iterable[RuleSet], name: str = "") -> None:
        object.__setattr__(self, "rule_sets", tuple(rule_sets))
        object.__setattr__(self, "name", name)
        last: dict[Identifier, Rule] = {}
        for rule_set in self.rule_sets:
            for rule in rule_set:
                last.pop(rule.identifier, None)  # so that the later one also stands later
                last[rule.identifier] = rule
        exact: dict[int, Rule] = {}
        paths: dict[int, list[Rule]] = {}
        wide: list[Rule] = []
        for rule in reversed(last.values()):  # later first; the sorts below are stable
            if isinstance(rule.identifier, SingleTag):
                exact[rule.identifier.tag] = rule
            elif isinstance(rule.identifier, TagPath):
                paths.setdefault(rule.identifier.tags[-1], []).append(rule)
            else:
                wide.append(rule)
        by_width: Callable[[Rule], float] = lambda rule: rule.identifier.matchable  # noqa: E731
        for rules in paths.values():
            rules.sort(key=by_width)
        wide.sort(key=by_width)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_paths", paths)
        object.__setattr__(self, "_wide", wide)

    def depends_on_path(self, tag: int) -> bool:
        """Say whether some rule looks at where the attribute stands."""
        return tag in self._paths

    def rule_for(self, path: tuple[int, ...], creator: str | None = None) -> Rule | None:
        """Return the rule that holds for an attribute, or None.

        Args:
            path: tags from the top level to the attribute, item numbers left out.
            creator: private creator of its block, where it is private.
        """
        tag = path[-1]
        for rule in self._paths.get(tag, ()):
            if isinstance(rule.identifier, TagPath) and rule.identifier.fits(path):
                return rule
        if tag in self._exact:
            return self._exact[tag]
        return next((rule for rule in self._wide if rule.identifier.matches(tag, creator)), None)

    def flatten(self) -> list[Rule]:
        """Return the rules that can hold, the most specific first."""
        paths = [rule for rules in self._paths.values() for rule in rules]
        return [*paths, *(self._exact[tag] for tag in sorted(self._exact)), *self._wide]
