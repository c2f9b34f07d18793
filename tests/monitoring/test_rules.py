from dataclasses import replace

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.monitoring.performance import Quality
from mlops_course.monitoring.rules import (
    ACCURACY_RULE,
    UNANSWERED_RULE,
    AccuracyRule,
    UnansweredRule,
    check_all,
)

NAN = float("nan")
CALM = Quality(6_000, 6_000, 5_900, 7, 0.93, 0.94, 0.005, 0.9, 0.2, 0.2, 0.92)
SILENT = Quality(6_000, 0, 0, 0, NAN, NAN, NAN, NAN, NAN, 0.2, NAN)


def test_accuracy_rule_when_accuracy_is_just_below_then_waits_for_more_evidence():
    low = replace(CALM, accuracy=0.897, upper=0.917)
    assert low.accuracy < 0.90 < low.upper
    assert AccuracyRule(0.90).check(low, "a week") is None
    alert = AccuracyRule(0.95).check(low, "the week of 2013-09-02")
    assert (alert.rule, alert.value, alert.threshold) == (ACCURACY_RULE, 0.897, 0.95)
    assert alert.message == (
        "Accuracy 0.897 in the week of 2013-09-02: at most 0.917 (one-sided 95%, by 7 days), "
        "below 0.95."
    )


def test_accuracy_rule_when_days_or_labels_are_too_few_then_cannot_tell():
    low = replace(CALM, labelled=800, days=2, accuracy=0.5, upper=NAN)
    assert AccuracyRule(0.90).check(low, "a week") is None


@pytest.mark.parametrize("threshold", [90, 0.4, 1.0, "0.9", None])
def test_accuracy_rule_when_threshold_is_no_accuracy_then_says_what_it_takes(threshold):
    with pytest.raises(ParameterError, match=r"between 0.5 and 0.999"):
        AccuracyRule(threshold)


def test_unanswered_rule_when_a_few_have_no_answer_then_rests_and_beyond_a_hundredth_alerts():
    rule = UnansweredRule()
    assert rule.check(replace(CALM, answered=5_940), "a week") is None
    alert = rule.check(replace(CALM, answered=5_939), "a week")
    assert (alert.rule, alert.threshold) == (UNANSWERED_RULE, 0.01)
    assert alert.value == pytest.approx(61 / 6_000)
    assert alert.message.startswith("61 of 6,000 flights in a week have no answer (1.0%)")


def test_rules_when_nothing_was_answered_then_silence_alerts_and_accuracy_cannot_tell():
    rules = (UnansweredRule(), AccuracyRule(0.9))
    assert [alert.rule for alert in check_all(rules, SILENT, "a week")] == [UNANSWERED_RULE]
    assert check_all(rules, CALM, "a week") == []


def test_unanswered_rule_when_there_was_nothing_to_answer_then_alerts():
    alert = UnansweredRule().check(replace(SILENT, rows=0), "a week")
    assert (alert.value, alert.message[:34]) == (1.0, "There was no flight to answer in a")
