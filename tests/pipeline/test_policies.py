import pytest

from mlops_course.pipeline.policies import (
    POLICIES,
    NeverRetrain,
    Observation,
    Retrain,
    RetrainOnAlert,
    Wait,
)


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
        ("!.!", (1, 2, 3)),
        ("!..!", None),
        ("!.!.", None),
        ("!x!", None),
        ("..!!", (3, 4)),
        ("!!", (1, 2)),
        ("!x", None),
        ("!xx!", None),
        ("!xx!!", (4, 5)),
    ],
)
def test_retrain_on_alert_when_two_of_three_weeks_alert_unanswered_then_from_the_first_on(
    signs, weeks
):
    decision = RetrainOnAlert(2, 3).decide(history(signs))
    assert decision == (Retrain(weeks) if weeks else Wait())


def test_never_when_asked_then_waits_whatever_happened():
    assert NeverRetrain().decide(history("!!!!")) == Wait()


def test_policies_when_named_then_are_those_a_run_may_choose():
    assert {name: type(policy) for name, policy in POLICIES.items()} == {
        "auto": RetrainOnAlert,
        "never": NeverRetrain,
    }
