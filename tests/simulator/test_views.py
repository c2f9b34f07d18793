"""What a run's picture says, told on events made by hand; the real ones are in test_simulator."""

import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from xml.dom import minidom

import pytest

from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.state import RunState, advance, fold, outcome, result_of, stage_state
from mlops_course.simulator import alert_log, poster, views
from mlops_course.simulator.chart import accuracy_chart, describe

CALM = {"dep_delay": 0.6, "temp": 1.4, "hour": 0.3}
MOVED = {"dep_delay": 4.8, "temp": 1.5, "hour": 0.3}


def monday(number: int) -> str:
    return (date(2013, 9, 2) + timedelta(weeks=number - 1)).isoformat()


def week(number: int, accuracy: float, version: str = "1", **other: object) -> WeekScored:
    alert = accuracy + 0.006 < 0.90
    usual: dict[str, object] = {"drift": MOVED if alert else CALM, "incident": number >= 4}
    scored = WeekScored(
        week=monday(number),
        number=number,
        rows=6400,
        answered=6400,
        labelled=6300,
        accuracy=accuracy,
        upper=accuracy + 0.006,
        model_version=version,
        baseline_accuracy=accuracy - 0.01,
        predicted_late=0.19,
        observed_late=0.21,
        confidence=0.93,
        latency_ms=12.0,
        errors=0,
        drift={},
        drifted=(),
        findings=(),
        incident=False,
        alert=alert,
    )
    return replace(scored, **{**usual, **other})  # type: ignore[arg-type]


def alert(scored: WeekScored) -> AlertRaised:
    message = f"Accuracy {scored.accuracy:.3f}, below 0.90."
    return AlertRaised(scored.week, "accuracy below threshold", scored.accuracy, 0.9, message)


def started(version: str = "1", run_id: str = "abc", seconds: float = 0.5) -> list:
    """Return the events of a run up to its first week, all that varies named."""
    events: list = [RunStarted("drift", "Data drift", 0, 0.9, 8, "auto", run_id)]
    for stage in STAGES[:-1]:
        done = StageFinished(stage, 1, seconds, f"{stage} went well", {"rows": 65272})
        events += [StageStarted(stage, 1), done]
    return [*events, Promoted("2013-03-18", "", version, "better", run_id)]


def drift_run(first: str = "1", second: str = "2", run_id: str = "abc", seconds: float = 0.5):
    """Return a whole run with alerts in weeks 4 to 6, a retraining and a recovery."""
    events = [*started(first, run_id, seconds), StageStarted("monitor", 1)]
    for number, accuracy in enumerate((0.95, 0.93, 0.94, 0.80, 0.79, 0.81, 0.91, 0.92), 1):
        scored = week(number, accuracy, first if number < 7 else second, latency_ms=seconds)
        events += [scored, alert(scored)] if scored.alert else [scored]
        if number == 4:
            events.append(Notified(scored.week, "#oncall", {"text": "look <here>"}))
        if number == 5:
            events += [StageStarted("train", 2), StageFinished("train", 2, seconds, "again", {})]
            events.append(Retrained(scored.week, (monday(4), monday(5)), 12900, run_id, seconds))
        if number == 6:
            events.append(Promoted(scored.week, first, second, f"beats version {first}", run_id))
    end = StageFinished("monitor", 1, seconds, "3 alerts in 8 weeks", {"weeks": 8})
    return [*events, end, RunFinished(seconds)]


# ---- the state


def test_advance_when_an_event_comes_then_leaves_the_former_state_as_it_was():
    before = fold(started())
    after = advance(before, week(1, 0.95))
    assert before.weeks == () and len(after.weeks) == 1


@pytest.mark.parametrize(
    ("events", "stage", "expected"),
    [
        ([], "data", "waiting"),
        ([StageStarted("data", 1)], "data", "running"),
        ([StageStarted("data", 1), StageFinished("data", 1, 0.1, "ok", {})], "data", "done"),
        ([StageStarted("data", 1), StageFailed("data", 1, 0.1, "no disk")], "data", "failed"),
        ([StageStarted("monitor", 1), week(1, 0.95)], "monitor", "running"),
        ([StageStarted("monitor", 1), week(1, 0.80)], "monitor", "alert"),
        ([StageFinished("gate", 1, 0.1, "no", {}), Rejected("x", "worse")], "gate", "refused"),
    ],
)
def test_stage_state_when_events_came_then_follows_them(events, stage, expected):
    assert stage_state(fold(events), stage) == expected


def test_stage_state_when_the_run_pauses_then_says_so():
    state = replace(fold([*started(), StageStarted("monitor", 1)]), status="paused")
    assert stage_state(state, "monitor") == "paused"


def test_outcome_when_a_retrained_model_took_over_then_has_all_four_figures():
    found = outcome(fold(drift_run()))
    figures = (found.before, found.at_alert, found.alarmed, found.recovered)
    assert figures == pytest.approx((0.94, 0.80, 0.80, 0.915))


def test_result_when_nothing_ran_then_has_columns_and_no_rows():
    result = result_of(RunState())
    assert [len(frame) for frame in (result.weeks, result.alerts, result.stages)] == [0, 0, 0]
    assert list(result.promotions) == ["week", "from", "to", "reason", "run_id"]
    assert {"week", "accuracy", "upper", "model_version", "alert"} <= set(result.weeks)


def test_result_when_a_run_ended_then_holds_one_row_a_thing():
    result = result_of(fold(drift_run()))
    assert list(result.alerts["week"]) == [monday(4), monday(5), monday(6)]
    assert list(result.promotions["to"]) == ["1", "2"]
    assert list(result.stages["stage"]).count("train") == 2
    assert len(result.drift) == 8 * 3


# ---- the parts


@pytest.mark.parametrize("events", [[], started(), drift_run()], ids=["idle", "half", "whole"])
def test_strip_when_drawn_then_tells_each_state_by_word_and_shape(events):
    drawn = views.strip(fold(events))
    assert drawn.count('class="mls-icon"') == drawn.count("<button") == len(STAGES)
    for stage in STAGES:
        assert f"<span>{stage_state(fold(events), stage)}</span>" in drawn


def test_views_when_a_text_holds_markup_then_escape_it():
    evil = "<img src=x onerror=alert(1)>"
    events = [
        RunStarted("good", evil, 0, 0.9, 8, "auto", evil),
        StageStarted("data", 1),
        StageFinished("data", 1, 0.1, evil, {evil: evil}),
        week(1, 0.80, evil, findings=(evil,), drift={evil: 3.0}),
        AlertRaised(monday(1), evil, 0.8, 0.9, evil),
        Notified(monday(1), evil, {"text": evil}),
        Rejected(monday(1), evil),
        Promoted(monday(1), evil, evil, evil, evil),
        RunFinished(1.0),
    ]
    state = fold(events)
    shown = [views.strip, views.tiles, views.chart, views.inputs, alert_log.log, poster.render]
    drawn = [view(state) for view in shown] + [views.figures(state, "data")]
    drawn += [alert_log.debrief(state, evil, evil), poster.describe(state).replace(evil, "")]
    assert not any("<img" in text for text in drawn)


def test_status_when_it_is_spoken_then_changes_with_alerts_and_not_with_weeks():
    state = fold([*started(), StageStarted("monitor", 1), week(1, 0.95)])
    later = advance(state, week(2, 0.94))
    assert views.status(state) != views.status(later)
    assert views.spoken(state) == views.spoken(later)
    alarmed = advance(advance(later, week(3, 0.8)), alert(week(3, 0.8)))
    assert "0.800" in views.spoken(alarmed)


def test_status_when_a_stage_failed_then_gives_the_sentence():
    state = fold([*started(), StageFailed("monitor", 1, 0.1, "The service is gone. Run again.")])
    assert views.status(state) == "Stopped. The service is gone. Run again."


def test_chart_when_alerts_fired_then_marks_them_by_shape_and_names_the_new_model():
    state = fold(drift_run("7", "8"))
    drawn = accuracy_chart(state)
    assert drawn.count('class="mls-bad"') == 3 and drawn.count('class="mls-dot"') == 5
    assert "v8 promoted" in drawn and "alert line" in drawn
    assert "alerts in weeks 4, 5 and 6" in describe(state)


def test_chart_when_the_simple_rule_collapses_then_says_where_it_went():
    state = fold([*started(), week(1, 0.95), week(2, 0.93, baseline_accuracy=0.49)])
    assert "49%" in accuracy_chart(state)


def test_inputs_when_one_jumped_then_flags_it_and_not_the_season():
    drawn = views.inputs(fold(drift_run()[:-6]))
    assert "▲ new" in drawn.split("dep_delay", 1)[1].split("</li>")[0]
    assert "above 1" in drawn.split("temp", 1)[1].split("</li>")[0]


def test_inputs_when_data_checks_fail_then_says_so_even_without_an_alert():
    state = fold([*started(), week(1, 0.95, findings=("temp is missing.", "dewp is missing."))])
    assert "temp is missing. And 1 more." in views.inputs(state)


def test_figures_when_a_stage_ran_twice_then_shows_both_cycles():
    drawn = views.figures(fold(drift_run()), "train")
    assert "cycle 1" in drawn and "cycle 2" in drawn and "65,272" in drawn


def test_log_when_alerts_follow_each_other_then_only_the_first_is_unfolded():
    drawn = alert_log.log(fold(drift_run()))
    entries = [part for part in drawn.split("<li ") if 'data-kind="alert"' in part]
    assert ["<details" in entry for entry in entries] == [False, True, True]
    assert "less than one week in a million" in entries[0] and "dep_delay moved" in entries[0]
    assert "look &lt;here&gt;" in drawn


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"errors": 3}, "requests failed"),
        ({"findings": ("dep_delay is empty.",)}, "feed repaired"),
        ({"drift": MOVED}, "dep_delay moved"),
        ({"drift": CALM, "model_version": "2"}, "roll back to v1"),
        ({"drift": CALM}, "relation itself"),
    ],
)
def test_next_move_when_the_monitor_sees_a_cause_then_fits_it(change, expected):
    bad = week(2, 0.80, **change)
    assert expected in alert_log.next_move(fold([*started(), week(1, 0.95), bad]), bad)


# ---- the still picture


@pytest.mark.parametrize("events", [[], started(), drift_run()], ids=["idle", "half", "whole"])
def test_poster_when_drawn_then_is_a_small_whole_svg_with_a_background(events):
    drawn = poster.render(fold(events))
    root = minidom.parseString(drawn).documentElement
    assert root.tagName == "svg" and root.getAttribute("xmlns")
    assert root.getElementsByTagName("rect")[0].getAttribute("fill") == "#fff"
    assert len(drawn) < 60_000


def test_poster_when_only_times_ids_and_versions_differ_then_is_the_same():
    one = fold(drift_run("1", "2", "abc", 0.5))
    other = fold(drift_run("31", "32", "fed", 0.7))
    assert poster.render(one) == poster.render(other)
    assert poster.describe(one) == poster.describe(other)


# ---- the texts


def test_stage_texts_when_read_then_say_everything_about_every_stage():
    texts = views.stage_texts()
    assert tuple(texts) == STAGES
    for text in texts.values():
        assert text.purpose and text.tools and len(text.risks) >= 2
        assert len(text.code.splitlines()) <= 12


def test_code_by_hand_when_run_in_order_then_works(tmp_path):
    texts = views.stage_texts()
    code = "\n".join(texts[stage].code for stage in STAGES if stage != "deploy")
    script = f"{code}\nprint(passed, version, alert)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split()[-3:] == ["True", "1", "False"], done.stderr
    compile(texts["deploy"].code, "deploy", "exec")
