"""Each incident is resolved by the state of the system: several ways out, and near-misses."""

import pytest

from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.scoring import Score
from mlops_course.shifts.ledger import Harm

DAY = 12


def deed(action, day=DAY, **options):
    return (day, action, options)


FIX = [deed("fix-feed")]
URGENT = [deed("declare", 11), deed("fix-feed", 12)]
BACK = [deed("roll-back")]
NEW = [deed("retrain", 25, weeks=2)]
HOLD = [deed("hold")]
DESK = [deed("revert-desk")]
LABELS = [deed("chase-labels")]
MONITOR = [deed("restart-monitoring")]
NOBODY = []

SOLVED = [
    *[("clock", way) for way in (FIX, URGENT)],
    *[("hours", way) for way in (FIX, URGENT)],
    *[("dead-weather", way) for way in (FIX, URGENT)],
    *[("timezone", way) for way in (FIX, URGENT)],
    *[("celsius", way) for way in (FIX, URGENT)],
    *[("refused", way) for way in (FIX, URGENT, HOLD)],
    *[("padding", way) for way in (NEW, [deed("retrain", 27, weeks=2), deed("retrain", 41)])],
    *[("new-carrier", way) for way in (NOBODY, MONITOR, [deed("roll-back"), deed("retrain", 13)])],
    *[("storm", way) for way in (NOBODY, MONITOR)],
    *[("none", way) for way in (NOBODY, MONITOR)],
    *[("desk-skew", way) for way in (DESK, [*HOLD, deed("revert-desk", 14)])],
    *[("worse-release", way) for way in (BACK, NEW)],
    *[("stuck-release", way) for way in (BACK, NEW)],
    *[("slow-release", way) for way in (BACK, HOLD)],
    *[("late-labels", way) for way in (LABELS, [*HOLD, deed("chase-labels", 13)])],
    *[
        ("monitoring-dead", way)
        for way in (MONITOR, [deed("hold"), deed("restart-monitoring", 20)])
    ],
]
MISSED = [
    *[("clock", way) for way in (NOBODY, BACK, HOLD, DESK)],
    *[("hours", way) for way in (NOBODY, BACK, HOLD)],
    *[("dead-weather", way) for way in (NOBODY, BACK, LABELS)],
    *[("timezone", way) for way in (NOBODY, DESK, NEW)],
    *[("celsius", way) for way in (NOBODY, DESK)],
    *[("refused", way) for way in (NOBODY, BACK, NEW)],
    *[("padding", way) for way in (NOBODY, FIX, BACK)],
    *[("new-carrier", way) for way in (FIX, HOLD)],
    *[("storm", way) for way in (FIX, DESK)],
    *[("none", way) for way in (FIX, HOLD, LABELS)],
    *[("desk-skew", way) for way in (NOBODY, FIX)],
    *[("worse-release", way) for way in (NOBODY, FIX, MONITOR)],
    *[("stuck-release", way) for way in (NOBODY, FIX)],
    *[("slow-release", way) for way in (NOBODY, DESK)],
    *[("late-labels", way) for way in (NOBODY, MONITOR, BACK)],
    *[("monitoring-dead", way) for way in (NOBODY, LABELS)],
]


def told(case):
    name, deeds = case
    return f"{name}: {', '.join(action for _, action, _ in deeds) or 'nothing'}"


@pytest.mark.parametrize("case", SOLVED, ids=told)
def test_incident_when_a_valid_way_out_was_taken_then_it_is_resolved(drills, case):
    assert drills.after(*case).resolved is not None


@pytest.mark.parametrize("case", MISSED, ids=told)
def test_incident_when_what_was_done_does_not_mend_it_then_it_is_not_resolved(drills, case):
    assert drills.after(*case).resolved is None


def test_incidents_when_counted_then_each_has_two_ways_out_and_a_near_miss():
    for name in INCIDENTS:
        assert sum(solved == name for solved, _ in SOLVED) >= 2, name
        assert any(missed == name and way for missed, way in MISSED), name


def test_cause_when_it_was_named_then_the_outcome_says_so(drills):
    named = [deed("fix-feed", cause="clock", sure=0.9)]
    wrong = [deed("fix-feed", cause="hours", sure=0.9)]
    assert drills.after("clock", named).right
    assert not drills.after("clock", wrong).right
    assert not drills.after("clock", FIX).right


def test_saving_when_scored_then_nothing_is_none_of_it_and_the_oracle_all():
    def harm(wrong):
        return Harm(wrong, 0, 0, 0, 0)

    others = {"nothing": harm(100), "oracle": harm(60)}
    assert Score(harm(100), others, ()).saved == 0
    assert Score(harm(60), others, ()).saved == 1
    assert Score(harm(70), others, ()).saved == 0.75
