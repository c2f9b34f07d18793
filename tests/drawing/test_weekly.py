"""How signals and estimate are drawn, and that the table says the same as the events."""

import re
from dataclasses import replace

import pytest
from handmade import drift_run, silent_run, started, week

from mlops_course.drawing import chart, weekly
from mlops_course.picture import views
from mlops_course.pipeline.events import RunStarted, WeekScored
from mlops_course.pipeline.state import fold
from mlops_course.telling.signals import SIGNALS

YEAR = 39


def with_estimates(events: list) -> list:
    """Return a run whose weeks were estimated, half a point above their accuracy."""
    return [
        replace(
            event,
            estimate=event.accuracy + 0.005,
            estimate_low=event.accuracy - 0.035,
            estimate_high=event.accuracy + 0.045,
        )
        if isinstance(event, WeekScored)
        else event
        for event in events
    ]


def cells(rendered: str) -> list[list[str]]:
    """Return the table, a list a row."""
    rows = re.findall(r"<tr>(.*?)</tr>", rendered)
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t", row) for row in rows]


def test_table_when_a_run_is_shown_then_has_headers_and_every_figure_of_its_weeks():
    state = fold(with_estimates(silent_run()))
    rendered = weekly.signals(state)
    head, *rows = cells(rendered)
    assert head[:3] == ["Week", "Accuracy", "Estimate without labels"] and len(head) == 10
    assert rendered.count('scope="col"') == len(head)
    assert rendered.count('scope="row"') == len(state.weeks) == len(rows)
    first = dict(zip(head, rows[0], strict=True))
    assert first["Week"] == "1, 2 Sep" and first["Accuracy"] == "95.0%"
    assert first["Estimate without labels"] == "95.5%"
    assert first["Share called late"] == "19.0%, were late 21.0%"
    silent = dict(zip(head, rows[2], strict=True))
    assert silent["Accuracy"] == silent["Estimate without labels"] == "unknown"
    assert silent["Unanswered flights"] == "6,400 of 6,400 ▼ alert"
    assert silent["Failed data checks"] == "1 failed ▽ beyond"


def test_rows_when_a_run_is_shown_then_each_has_a_drawing_that_says_its_latest_figure():
    state = fold(drift_run())
    labels = re.findall(r'role="img"[^>]*aria-label="([^"]*)"', weekly.signals(state))
    assert [label.split(" by week")[0] for label in labels] == [one.name for one in SIGNALS]
    assert "Latest: +1.0 points" in labels[3]
    assert "beyond in weeks 4 to 6" in labels[4]


def row(rendered: str, name: str) -> str:
    return next(part for part in rendered.split("<li>") if f"signal-{name}" in part)


def test_row_when_weeks_are_unknown_then_has_a_mark_there_and_no_line():
    drawn = row(weekly.signals(fold(silent_run())), "Share called late")
    assert drawn.count(">?</text>") == 2
    line = re.search(r'class="mls-line" d="([^"]*)"', drawn)[1]
    assert [start.split()[0] for start in line[1:].split("M")] == ["0.5", "4.5"]


def test_row_when_weeks_are_to_come_then_they_are_grey():
    state = fold([*started(), week(1, 0.95), week(2, 0.94)])
    assert row(weekly.signals(state), "Label delay").count("mls-blank") == 8
    assert row(weekly.signals(state), "Unanswered flights").count("mls-blank") == 6


def test_row_when_a_limit_is_broken_then_the_mark_tells_whether_anybody_was_alerted():
    rendered = weekly.signals(fold(silent_run()))
    assert row(rendered, "Unanswered flights").count('class="mls-bad"') == 3
    assert row(rendered, "Failed data checks").count('class="mls-out"') == 2


def test_rows_when_drawn_then_their_weeks_lie_under_those_of_the_chart():
    state = fold(drift_run())
    scale = chart.scale_of(state)
    marked = re.findall(r'<svg x="([\d.]+)%"[^>]*><g class="mls-out">', weekly.signals(state))
    assert list(map(float, marked)) == [scale.x(number) for number in (4, 5, 6)]


def test_signals_when_no_week_is_scored_then_says_when_they_come():
    assert "once a week is scored" in weekly.signals(fold(started()))


def test_signals_when_a_year_is_shown_then_stay_small():
    run = RunStarted("real-year", "The real year", 0, 0.9, YEAR, "auto", "abc")
    state = fold([run, *(week(number, 0.93) for number in range(1, YEAR + 1))])
    assert len(weekly.signals(state)) < 40_000


# ---- the estimate


def test_estimate_when_models_follow_each_other_then_each_has_a_line_of_its_own():
    drawn = weekly.estimate(fold(with_estimates(drift_run())))
    lines = re.findall(r'class="mls-estimate" d="([^"]*)"', drawn)
    assert [line.count("L") for line in lines] == [5, 1]
    assert drawn.count('class="mls-band"') == 2


def test_estimate_when_a_week_cannot_be_told_then_the_line_breaks():
    drawn = weekly.estimate(fold(with_estimates(silent_run())))
    line = re.search(r'class="mls-estimate" d="([^"]*)"', drawn)[1]
    assert line.count("M") == 2 and "nan" not in drawn


def test_estimate_when_far_below_the_accuracy_then_the_page_makes_room_and_the_poster_none():
    low = week(1, 0.93, estimate=0.70, estimate_low=0.66, estimate_high=0.74)
    state = fold([*started(), low])
    assert chart.scale_of(state, live=True).low <= 0.69
    assert chart.scale_of(state).low == 0.85


def test_estimate_when_shown_then_the_legend_explains_it_and_the_picture_is_described():
    shown = views.accuracy(fold(with_estimates(drift_run())))
    assert 'data-key="legend-estimate"' in shown
    assert "Estimated without labels: 95.5% in week 1, 92.5% in week 8." in shown
    assert "Estimated" not in views.accuracy(fold(drift_run()))


@pytest.mark.parametrize(("rule", "words"), [(0.503, "↓ rule now"), (0.91, "↓ rule was")])
def test_chart_when_the_rule_left_it_then_tells_the_figure_of_the_tile_or_the_lowest(rule, words):
    weeks = [week(1, 0.93), week(2, 0.92, baseline_accuracy=0.48)]
    state = fold([*started(), *weeks, week(3, 0.93, baseline_accuracy=rule)])
    told = re.findall(r">([^<>]+)</text>", chart.render(state, live=True))
    assert told[told.index(words) + 1] == (f"{rule:.1%}" if rule < 0.6 else "48.0%")


def test_chart_when_a_year_is_shown_then_the_lowest_week_is_told_below_its_mark():
    run = RunStarted("real-year", "The real year", 0, 0.9, YEAR, "auto", "abc")
    weeks = [week(number, 0.95) for number in range(1, YEAR + 1)]
    weeks[9] = week(10, 0.89, upper=0.93, alert=False)
    state = fold([run, *weeks])
    scale = chart.scale_of(state, live=True)
    drawn = chart.render(state, live=True)
    y = float(re.search(r'y="([\d.]+)"[^>]*>89.0</text>', drawn)[1])
    assert y > scale.y(0.89)
