"""What somebody may choose at an alert, when they are asked, and what follows."""

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.choices import (
    CHOICES,
    Choices,
    Person,
    check_choice,
    decision_for,
    has_a_question,
)
from mlops_course.deciding.decisions import (
    Observation,
    Repair,
    Retrain,
    RollBack,
    Wait,
    Window,
    asks,
    choice,
)
from mlops_course.pipeline.policies import NeverRetrain

LOW = ("accuracy",)


def week(number, alarms=LOW, chosen="", version="1", moved=False):
    return Observation(
        number, bool(alarms), alarms=alarms, chosen=chosen, version=version, moved=moved
    )


def test_question_when_no_alarm_or_a_version_just_moved_then_there_is_none():
    assert has_a_question([week(1)])
    assert not has_a_question([week(1, ())])
    assert not has_a_question([week(1, moved=True)])
    assert has_a_question([week(1, moved=True), week(2)])


def test_question_when_dismissed_then_comes_again_only_after_the_alarm_has_ended():
    dismissed = week(1, chosen="dismiss")
    assert not has_a_question([dismissed, week(2), week(3)])
    assert has_a_question([dismissed, week(2, ()), week(3)])
    assert has_a_question([dismissed, week(2, ("unanswered", *LOW))])


def test_question_when_only_looked_at_then_comes_again():
    assert has_a_question([week(1, chosen="look"), week(2)])


@pytest.mark.parametrize(
    ("chosen", "decision"),
    [
        ("look", Wait()),
        ("dismiss", Wait()),
        ("repair", Repair()),
        ("roll-back", RollBack("1")),
        ("retrain", Retrain(Window(2))),
        ("", Wait()),
    ],
)
def test_decision_when_chosen_then_is_what_the_words_say(chosen, decision):
    past = [week(1), week(2, ()), week(3, version="2"), week(4, chosen=chosen, version="2")]
    assert decision_for(past) == decision


def test_roll_back_when_one_version_served_then_names_none():
    assert decision_for([week(1, chosen="roll-back")]) == RollBack("")


def test_answers_when_given_beforehand_then_come_in_order_and_then_look_closer():
    answers = Choices("repair", "dismiss")
    past = [week(1, chosen="repair"), week(2, ()), week(3)]
    assert answers.choice([week(1)]) == "repair"
    assert answers.choice(past) == "dismiss"
    assert answers.choice([*past[:2], week(3, chosen="dismiss"), week(4)]) == "look"


@pytest.mark.parametrize("name", ["pray", "", None, 3])
def test_choice_when_there_is_none_such_then_names_those_there_are(name):
    with pytest.raises(ParameterError, match=", ".join(CHOICES)):
        check_choice(name)


def test_person_when_answered_then_the_answer_is_taken_once():
    person = Person()
    person.answer = "repair"
    assert choice(person, [week(1)]) == ("repair", "")
    said, trouble = choice(person, [week(1)])
    assert said == "" and "nothing was done" in trouble


def test_policy_when_it_never_asks_or_fails_at_it_then_nobody_is_asked():
    class Broken:
        def asks(self, history):
            raise ValueError("x")

    assert not asks(NeverRetrain(), [week(1)]) and not asks(Broken(), [week(1)])
    assert "nothing was done" in choice(NeverRetrain(), [week(1)])[1]
