"""Rules, rule sets, and profiles of rule sets."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop.rules.criteria import Criterion
from beamstop.rules.operators import Operator
from beamstop.rules.tag_identifiers import Identifier, SingleTag, TagPath, parse_identifier, without_block
from beamstop.standard.actions import Action

Condition = Callable[[Dataset], bool]


@dataclass(frozen=True)
class Rule:
    """An action on the attributes that an identifier matches.

    Attributes:
        identifier: an `Identifier`, or text for `parse_identifier`.
        operation: an action code of Table E.1-1, or a custom operator.
        origin: rule set and line, as the audit shows it.
        fallback: the action if `operation` is C and the value cannot be cleaned (an unparsable date, a
            payload): that of the Basic Profile.
        when: the instances to which it applies, determined before anything is changed; None for all.
    """

    identifier: Identifier
    operation: Action | Operator
    origin: str = ""
    fallback: Action = Action.X
    when: Condition | None = None

    def __init__(
        self,
        identifier: Identifier | str | int | tuple[int, int],
        operation: Action | Operator | type[Operator] | str,
        origin: str = "",
        fallback: Action = Action.X,
        when: Condition | str | None = None,
    ) -> None:
        if isinstance(identifier, int | tuple):
            identifier = SingleTag(identifier)
        elif isinstance(identifier, str):
            identifier = parse_identifier(identifier)
        object.__setattr__(self, "identifier", identifier)
        if isinstance(operation, type) and issubclass(operation, Operator):
            operation = operation()
        object.__setattr__(self, "operation", Action(operation) if isinstance(operation, str) else operation)
        object.__setattr__(self, "when", Criterion(when) if isinstance(when, str) else when)
        object.__setattr__(self, "origin", origin or str(identifier))
        object.__setattr__(self, "fallback", fallback)

    @property
    def code(self) -> str:
        """The action code, such as `X/Z`."""
        action = self.operation.action if isinstance(self.operation, Operator) else self.operation
        return action.value


@dataclass(frozen=True)
class RuleSet:
    """A named list of rules; of two rules for the same identifier, the later one wins."""

    rules: tuple[Rule, ...]
    name: str = ""

    def __init__(self, rules: Iterable[Rule], name: str = "") -> None:
        object.__setattr__(self, "rules", tuple(rules))
        object.__setattr__(self, "name", name)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def get_rule(self, element: DataElement) -> Rule | None:
        """Return the rule of this set that applies to a top-level element, or None.

        >>> RuleSet([Rule("50xx,xxxx", "X")]).get_rule(DataElement(0x50003000, "OW", b"")).code
        'X'
        """
        return Profile([self]).rule_for((int(element.tag),), getattr(element, "private_creator", None))


@dataclass(frozen=True)
class Profile:
    """Rule sets in order: the more specific identifier wins, among equals the later set.

    Rules with a condition apply only in the result of `holding`.
    """

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
                if rule.when is not None:
                    continue
                last.pop(rule.identifier, None)  # so that the later rule is also later in the list
                last[rule.identifier] = rule
        exact: dict[int, Rule] = {}
        paths: dict[int, list[Rule]] = {}
        wide: list[Rule] = []
        for rule in reversed(last.values()):  # later first; the sorts below are stable
            if isinstance(rule.identifier, SingleTag):
                exact[rule.identifier.tag] = rule
            elif isinstance(rule.identifier, TagPath):
                paths.setdefault(rule.identifier.last, []).append(rule)
            else:
                wide.append(rule)
        by_width: Callable[[Rule], float] = lambda rule: rule.identifier.matchable  # noqa: E731
        for rules in paths.values():
            rules.sort(key=by_width)
        wide.sort(key=by_width)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_paths", paths)
        object.__setattr__(self, "_wide", wide)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of all rules, each once."""
        found = (rule.when for rule_set in self.rule_sets for rule in rule_set)
        return tuple(dict.fromkeys(condition for condition in found if condition is not None))

    def holding(self, conditions: frozenset[Condition]) -> "Profile":
        """Return this profile for an instance that meets these conditions and no others."""
        return Profile(
            (
                RuleSet(
                    (replace(rule, when=None) if rule.when in conditions else rule for rule in rule_set),
                    rule_set.name,
                )
                for rule_set in self.rule_sets
            ),
            self.name,
        )

    def rule_for(
        self, path: tuple[int, ...], creator: str | None = None, around: tuple[str | None, ...] = ()
    ) -> Rule | None:
        """Return the rule that applies to an attribute, or None.

        Args:
            path: tags from the top level to the attribute, without item numbers.
            creator: private creator of its block, if it is private.
            around: private creators of the sequences around it; empty if none of them is private.
        """
        tag = path[-1]
        for rule in self._paths.get(tag, ()):
            if isinstance(rule.identifier, TagPath) and rule.identifier.fits(path, creator, around):
                return rule
        if creator:
            for rule in self._paths.get(without_block(tag), ()):
                if isinstance(rule.identifier, TagPath) and rule.identifier.fits(path, creator, around):
                    return rule
        if tag in self._exact:
            return self._exact[tag]
        return next((rule for rule in self._wide if rule.identifier.matches(tag, creator)), None)

    @property
    def conditional(self) -> list[Rule]:
        """The rules that apply only in some instances, the later set first."""
        return [rule for rule_set in reversed(self.rule_sets) for rule in rule_set if rule.when is not None]

    def flatten(self) -> list[Rule]:
        """Return the rules that can apply in every instance, the most specific first."""
        paths = [rule for rules in self._paths.values() for rule in rules]
        return [*paths, *(self._exact[tag] for tag in sorted(self._exact)), *self._wide]
