"""The signals beside accuracy, held against real runs, lesson 07's rules and the rules of a run."""

import pytest
from executor import NOTEBOOKS
from handmade import drift_run, silent_run, started, unlabelled_week, week

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.alerting.rule_files import read_rules
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, fold
from mlops_course.telling.content import meanings
from mlops_course.telling.signals import SIGNALS, Signal, beyond, spells, unknown


def signal(name: str) -> Signal:
    return next(one for one in SIGNALS if one.name == name)


def told(name: str, scored: WeekScored) -> str:
    return signal(name).told(scored)


@pytest.fixture(scope="module")
def runs(shared_workspace, service):
    """Return real runs of eight weeks by scenario, made when they are first asked for."""
    made: dict[str, RunState] = {}

    def run(scenario: str) -> RunState:
        if scenario not in made:
            config = RunConfig(scenario, retrain="never")
            made[scenario] = fold(run_pipeline(config, shared_workspace, service))
        return made[scenario]

    return run


# ---- limits


def test_limits_when_lesson_07_has_a_rule_then_are_its():
    rules = {rule.name: rule for rule in read_rules(NOTEBOOKS / "07_rules.toml").rules}
    assert signal("Unanswered flights").high == rules["flights unanswered"].above
    assert signal("Share called late").low == rules["hardly any flight called late"].below
    assert signal("Share called late").high == rules["most flights called late"].above
    assert signal("Highest drift score").high == rules["inputs drifted"].above


def test_watched_when_a_run_has_rules_then_each_is_the_chart_or_a_row():
    rules = {rule.name: rule for rule in RunConfig().rules}
    watched = {one.watched: one for one in SIGNALS if one.watched}
    assert {*watched, ACCURACY_RULE} == set(rules)
    for name, one in watched.items():
        assert (one.low, one.high) == (rules[name].below, rules[name].above)
    assert all(("watched" in one.limit) == bool(one.watched) for one in SIGNALS)


def test_signals_when_shown_then_each_name_has_a_meaning():
    assert {one.name for one in SIGNALS} <= set(meanings())


# ---- real runs


def test_refused_when_run_then_flights_alert_and_what_nobody_knows_is_unknown(runs):
    state = runs("refused")
    assert beyond(state, signal("Unanswered flights")) == "▼ alert in weeks 4 to 8"
    assert beyond(state, signal("Failed data checks")) == "▽ beyond in weeks 4 to 8"
    for name in ("Share called late", "Lead over the rule", "Highest drift score"):
        assert unknown(state, signal(name)) == "? not known in weeks 4 to 8"
        assert told(name, state.weeks[4]).startswith("unknown")
        assert not beyond(state, signal(name))
    struck = state.weeks[4]
    assert told("Unanswered flights", struck) == f"{struck.rows:,} of {struck.rows:,}"
    assert told("Label delay", struck) == "40 h"


def test_dead_weather_when_run_then_checks_and_drift_show_it_and_answers_do_not(runs):
    state = runs("dead-weather")
    assert beyond(state, signal("Failed data checks")) == "▽ beyond in weeks 4 to 8"
    assert beyond(state, signal("Highest drift score")) == "▽ beyond in weeks 4 to 8"
    assert "7 of 14 above 1.0" in told("Highest drift score", state.weeks[3])
    assert told("Failed data checks", state.weeks[3]) == "7 failed"
    assert not beyond(state, signal("Unanswered flights"))
    assert not beyond(state, signal("Share called late"))


def test_hours_when_run_then_the_share_called_late_shows_it_before_any_alert(runs):
    state = runs("hours")
    assert beyond(state, signal("Share called late")) == "▽ beyond in weeks 4 to 8"
    assert not state.weeks[3].alert
    calm, struck = state.weeks[2:4]
    assert told("Share called late", calm) == (
        f"{100 * calm.predicted_late:.1f}%, were late {100 * calm.observed_late:.1f}%"
    )
    gained = 100 * (calm.accuracy - calm.baseline_accuracy)
    assert told("Lead over the rule", calm) == f"+{gained:.1f} points"
    assert abs(signal("Lead over the rule").value(struck)) < 0.2
    assert told("Time of a request", calm) == f"{calm.latency_ms:.0f} ms"
    labelled = 100 * calm.labelled / calm.answered
    assert told("Label delay", calm) == f"40 h; {labelled:.1f}% have one"


# ---- made by hand


def test_signal_when_a_week_is_silent_then_is_unknown_and_not_nothing():
    state = fold(silent_run())
    late = signal("Share called late")
    assert unknown(state, late) == "? not known in weeks 3 and 4"
    assert told("Unanswered flights", state.weeks[4]) == "1,400 of 6,400"
    assert beyond(state, signal("Unanswered flights")) == "▼ alert in weeks 3 to 5"


def test_label_delay_when_no_label_has_come_then_says_so():
    state = fold([*started(), unlabelled_week(1)])
    assert told("Label delay", state.weeks[0]) == "no label has come"
    assert unknown(state, signal("Label delay")) == "? not known in week 1"
    assert unknown(state, signal("Lead over the rule")) == "? not known in week 1"


def test_alert_when_it_is_on_accuracy_then_no_other_row_claims_it():
    state = fold(drift_run())
    assert beyond(state, signal("Highest drift score")) == "▽ beyond in weeks 4 to 6"
    assert not any("alert" in beyond(state, one) for one in SIGNALS)


@pytest.mark.parametrize(
    ("points", "shown"),
    [(-1.2, "\N{MINUS SIGN}1.2 points"), (0.03, "0.0 points"), (-0.04, "0.0 points")],
)
def test_lead_when_told_then_has_a_sign_unless_it_is_none(points, shown):
    scored = week(1, 0.90, baseline_accuracy=0.90 - points / 100)
    assert told("Lead over the rule", scored) == shown


def test_drift_when_hardly_above_its_limit_then_the_figure_shows_it():
    assert told("Highest drift score", week(1, 0.95, drift={"temp": 1.02})).startswith(
        "1.02 (temp)"
    )


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 2], "weeks 1 and 2"),
        ([1, 2, 3, 7], "weeks 1 to 3 and 7"),
        ([1, 3, 5, 7, 9], "5 weeks, the last of them week 9"),
    ],
)
def test_spells_when_weeks_follow_each_other_then_are_told_together(numbers, words):
    assert spells(numbers) == words
