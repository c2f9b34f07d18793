from dataclasses import dataclass, replace

import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import (
    Observation,
    Retrain,
    RollBack,
    Wait,
    Window,
    ask,
    needs_versions,
    objection,
)
from mlops_course.pipeline.policies import (
    NAMED,
    POLICIES,
    DecideByHand,
    NeverRetrain,
    RetrainOnAlert,
    RetrainOnDrift,
    RetrainOnEstimate,
    RetrainOnSchedule,
    ReuseFirst,
)

MONTH = Window(4)


def history(signs):
    """Read weeks: ``.`` calm, ``!`` an alert on accuracy, ``x`` an alert that was acted upon."""
    return [
        Observation(number, sign in "!x", sign == "x") for number, sign in enumerate(signs, start=1)
    ]


@pytest.mark.parametrize(
    ("signs", "weeks"),
    [
        (".", None),
        ("!", None),
        ("!.", None),
        ("!.!", 3),
        ("!..!", None),
        ("!.!.", None),
        ("!x!", None),
        ("..!!", 2),
        ("!!", 2),
        ("!x", None),
        ("!xx!", None),
        ("!xx!!", 2),
    ],
)
def test_retrain_on_alert_when_two_of_three_weeks_alert_unanswered_then_from_the_first_on(
    signs, weeks
):
    decision = RetrainOnAlert(2, 3).decide(history(signs))
    assert decision == (Retrain(Window(weeks), "accuracy") if weeks else Wait())


def test_retrain_on_alert_when_it_has_a_window_then_trains_on_that():
    assert RetrainOnAlert(window=MONTH).decide(history("!!")) == Retrain(MONTH, "accuracy")


def test_never_when_asked_then_waits_whatever_happened():
    assert NeverRetrain().decide(history("!!!!")) == Wait()


def test_schedule_when_weeks_go_by_then_retrains_on_every_so_manyth_whatever_happened():
    policy = RetrainOnSchedule(every=3, window=MONTH)
    decided = [policy.decide(history("!.x!x."[:weeks])) for weeks in range(1, 7)]
    retrain = Retrain(MONTH, "schedule")
    assert decided == [Wait(), Wait(), retrain, Wait(), Wait(), retrain]


def test_on_drift_when_inputs_moved_then_retrains_unless_something_was_done_that_week():
    moved = Observation(1, alerted=False, drifted=("temp",))
    policy = RetrainOnDrift(window=MONTH)
    assert policy.decide([moved]) == Retrain(MONTH, "drift")
    assert policy.decide([replace(moved, acted=True)]) == Wait()
    assert policy.decide([replace(moved, drifted=(), alerted=True)]) == Wait()


def weeks_of(confidence, version="1", first=1):
    return [
        Observation(number, alerted=False, confidence=value, version=version)
        for number, value in enumerate(confidence, start=first)
    ]


def test_on_estimate_when_confidence_falls_below_that_of_the_first_weeks_then_retrains():
    policy = RetrainOnEstimate(fall=0.02, weeks=2, of=3, window=MONTH)
    calm = [0.92, 0.93, 0.92, 0.91]
    assert policy.decide(weeks_of([*calm, 0.89])) == Wait()
    assert policy.decide(weeks_of([*calm, 0.89, 0.91, 0.89])) == Retrain(MONTH, "estimate")
    assert policy.decide(weeks_of([*calm, 0.905, 0.905])) == Wait()
    assert policy.decide(weeks_of([float("nan")] * 6)) == Wait()


def test_on_estimate_when_another_version_serves_then_begins_with_that_ones_first_weeks():
    policy = RetrainOnEstimate(fall=0.02, weeks=2, of=3, window=MONTH)
    before = weeks_of([0.92, 0.92, 0.92, 0.92, 0.89])
    after = weeks_of([0.86, 0.86, 0.86, 0.86, 0.86, 0.83, 0.83], version="2", first=6)
    assert policy.decide(before + after[:5]) == Wait()
    assert policy.decide(before + after) == Retrain(MONTH, "estimate")


def test_by_hand_when_a_week_was_decided_then_says_that_and_waits_in_others():
    policy = DecideByHand({2: Retrain(MONTH), 3: RollBack("1")})
    decided = [policy.decide(history("..."[:weeks])) for weeks in (1, 2, 3)]
    assert decided == [Wait(), Retrain(MONTH, "hand"), RollBack("1", "hand")]


def seen(*better, alerts="!!", **facts):
    *before, last = history(alerts)
    return [*before, replace(last, better=better, **facts)]


def test_reuse_when_the_other_policy_would_retrain_then_a_better_version_comes_first():
    policy = ReuseFirst(RetrainOnAlert(window=MONTH), always=False)
    assert policy.decide(seen("3", "1")) == RollBack("3", "accuracy")
    assert policy.decide(seen()) == Retrain(MONTH, "accuracy")
    assert policy.decide(seen("3", alerts=".!")) == Wait()


def test_reuse_when_it_always_looks_then_needs_no_alert_but_spares_a_version_of_this_week():
    policy = ReuseFirst(RetrainOnAlert())
    assert policy.decide(seen("3", alerts="..")) == RollBack("3", "accuracy")
    assert policy.decide(seen("3", alerts="..", moved=True)) == Wait()


# ---- asking a policy


@dataclass(frozen=True)
class Says:
    """A policy that returns, or raises, whatever it is given."""

    what: object

    def decide(self, history):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    objection = decide


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Says(ValueError("no such column")), "The policy failed (ValueError: no such column)"),
        (Says(RuntimeError()), "The policy failed (RuntimeError)"),
        (Says("retrain"), "The policy said 'retrain', no decision"),
        (Says(None), "The policy said None, no decision"),
        (Says(Retrain(4)), "The policy said Retrain(window=4, because='hand'), no decision"),
        (Says(RollBack(1)), "The policy said RollBack(version=1, because='hand'), no decision"),
        (object(), "The policy failed (AttributeError"),
    ],
)
def test_ask_when_the_policy_is_broken_then_waits_and_says_so(policy, said):
    decision, trouble = ask(policy, history("!"))
    assert decision == Wait() and trouble.startswith(said) and trouble.endswith("nothing was done.")


def test_ask_when_the_policy_wants_to_change_the_past_then_the_history_stays_as_it_is():
    class Forgetful:
        def decide(self, history):
            history.clear()

        objection = decide

    past = history("!!")
    assert "AttributeError" in ask(Forgetful(), past)[1]
    assert "AttributeError" in objection(Forgetful(), past) and len(past) == 2


def test_objection_when_the_policy_has_none_or_fails_then_nothing_or_that_stands_against_it():
    assert objection(NeverRetrain(), history("!")) == ""
    assert objection(Says(""), history("!")) == objection(Says(None), history("!")) == ""
    assert objection(Says("Not today."), history("!")) == "Not today."
    assert "nothing was promoted" in objection(Says(ValueError("x")), history("!"))
    assert objection(ReuseFirst(Says("Not today.")), history("!")) == "Not today."


def test_needs_versions_when_asked_then_only_reuse_wants_to_know():
    assert [name for name, policy in NAMED.items() if needs_versions(policy)] == ["reuse"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weeks": 0}, "weeks is 0"),
        ({"weeks": 2.5}, "whole number"),
        ({"weeks": 13.0}, "weeks is 13.0"),
        ({"weeks": True}, "weeks is True"),
        ({"flights": -1}, "flights is -1"),
        ({"half_life": 0}, "half_life is 0"),
        ({"half_life": float("nan")}, "half_life is nan"),
        ({"half_life": "8"}, "half_life is '8'"),
    ],
)
def test_window_when_a_value_is_none_then_says_what_it_takes(settings, said):
    with pytest.raises(ParameterError, match=said):
        Window(**settings)


def test_window_when_its_numbers_come_from_numpy_then_is_the_same_window():
    window = Window(np.int64(13), flights=np.int64(80_000), half_life=np.float64(8))
    assert repr(window) == "Window(weeks=13, flights=80000, half_life=8)"
    assert window == Window(13, flights=80_000, half_life=8)
    assert repr(Window(half_life=2.5)) == "Window(weeks=None, flights=None, half_life=2.5)"


def test_window_when_said_in_words_then_tells_which_flights():
    assert str(Window()) == "all weeks"
    assert str(Window(flights=80_000)) == "all weeks, 80,000 flights of them"
    assert str(Window(13, half_life=4)) == "the last 13 weeks, half as many after 4 weeks"


def test_policies_when_named_then_are_those_a_run_may_choose():
    assert {name: type(policy) for name, policy in POLICIES.items()} == {
        "auto": RetrainOnAlert,
        "never": NeverRetrain,
    }
    assert list(NAMED) == ["never", "schedule", "drift", "accuracy", "estimate", "reuse"]
    assert NAMED["accuracy"] == POLICIES["auto"] and NAMED["never"] == POLICIES["never"]
