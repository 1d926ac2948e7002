import pytest

from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.standard.actions import Action

NAME = (0x00100010,)
STEP_ID = (0x00400275, 0x00400009)


def codes(profile, *paths):
    return [rule and rule.operation.value for rule in (profile.rule_for(path) for path in paths)]


def test_of_equally_specific_rules_the_later_set_wins():
    first = RuleSet([Rule("PatientName", "X")])
    second = RuleSet([Rule("PatientName", "K")])
    assert codes(Profile([first, second]), NAME) == ["K"]
    assert codes(Profile([second, first]), NAME) == ["X"]


def test_a_more_specific_rule_of_an_earlier_set_beats_a_wider_one_of_a_later():
    narrow = RuleSet([Rule("(5000,0010)", "K"), Rule("5000,xxxx", "Z")])
    wide = RuleSet([Rule("50xx,xxxx", "X")])
    profile = Profile([narrow, wide])
    assert codes(profile, (0x50000010,), (0x50000020,), (0x50020010,)) == ["K", "Z", "X"]


def test_a_path_beats_the_tag_and_the_longer_path_the_shorter():
    profile = Profile(
        [
            RuleSet([Rule("RequestAttributesSequence.ScheduledProcedureStepID", "K")]),
            RuleSet([Rule("ScheduledProcedureStepID", "X")]),
        ]
    )
    assert codes(profile, STEP_ID, STEP_ID[1:]) == ["K", "X"]


def test_a_path_fits_at_any_depth():
    profile = Profile([RuleSet([Rule("RequestAttributesSequence.ScheduledProcedureStepID", "K")])])
    assert codes(profile, (0x52009229, *STEP_ID)) == ["K"]


def test_a_private_creator_is_more_specific_than_all_private():
    profile = Profile([RuleSet([Rule("0013,[CTP]10", "K")]), RuleSet([Rule("private", "X")])])
    assert profile.rule_for((0x00131010,), "CTP").operation is Action.K
    assert profile.rule_for((0x00131010,), "OTHER").operation is Action.X
    assert profile.rule_for((0x00100010,)) is None


def test_flattening_is_stable_and_most_specific_first():
    rules = [Rule("private", "X"), Rule("60xx,3000", "X"), Rule("50xx,xxxx", "X"), Rule("PatientName", "Z")]
    assert [str(rule.identifier) for rule in Profile([RuleSet(rules)]).flatten()] == [
        "PatientName",
        "60xx,3000",
        "50xx,xxxx",
        "private",
    ]


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="Q"):
        Rule("PatientName", "Q")
