import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.data.periods import Days
from mlops_course.drift.reports import MIN_ROWS, as_record, compare

REFERENCE_DAYS = 84
A_DAY = 60
MONDAY = "2024-03-25"


def rows(days, first="2024-01-01", seed=0):
    """Rows of each type, whose days differ somewhat, as real ones do."""
    generator = np.random.default_rng(seed)
    count = days * A_DAY
    level = np.repeat(generator.normal(0, 0.2, days), A_DAY)
    when = pd.Timestamp(first) + pd.to_timedelta(np.repeat(np.arange(days), A_DAY), unit="D")
    return pd.DataFrame(
        {
            "when": when,
            "paid": np.round(level + generator.normal(size=count), 2),
            "items": generator.integers(1, 9, count),
            "plan": generator.choice(list("abc"), count),
            "renewed": generator.random(count) < 0.3,
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(generator.integers(0, 1_000, count), unit="D"),
        }
    )


@pytest.fixture(scope="module")
def reference():
    return rows(REFERENCE_DAYS)


@pytest.fixture(scope="module")
def window(reference):
    """The first calm week once more, as a later one: no week can be more like the others."""
    first = reference.head(7 * A_DAY)
    return first.assign(when=first["when"] + pd.Timedelta(weeks=12))


def findings(report):
    return "\n".join(report.findings)


# ---- the verdict


def test_window_when_it_is_like_a_calm_week_then_is_calm(reference, window):
    report = compare(reference, window, "when")
    assert report.alarm is False and report.findings == ()
    assert (report.rows, report.periods, report.period_days) == (7 * A_DAY, 12, 7)
    assert report.at_most == pytest.approx(1 / 13)
    assert {one.name for one in report.features} == set(reference.columns) - {"when"}
    assert not any(one.drifted for one in report.features)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("paid", lambda column: column + 1),
        ("items", lambda column: column.where(column > 3, 9)),
        ("plan", lambda column: column.replace("a", "b")),
        ("renewed", lambda column: ~column),
        ("since", lambda column: column + pd.Timedelta(days=400)),
        ("paid", lambda column: column.mask(np.arange(len(column)) % 2 == 0)),
        ("paid", lambda column: None),
        ("plan", lambda column: None),
        ("since", lambda column: pd.NaT),
        ("items", lambda column: 4),
        ("plan", lambda column: "d"),
        ("plan", lambda column: [["a"]] * len(column)),
        ("items", lambda column: 10**30),
        ("paid", lambda column: np.inf),
        ("paid", lambda column: "a word"),
    ],
)
def test_column_when_it_has_changed_then_it_alarms_and_leads(reference, window, name, change):
    report = compare(reference, window.assign(**{name: change(window[name])}), "when")
    assert report.alarm is True and report.features[0].name == name
    assert report.features[0].drifted and 0 < report.features[0].distance <= 1


def test_weeks_when_each_is_held_out_then_at_most_one_alarms(reference):
    """That is the promise, whatever the columns: one of the twelve is the strangest, or two are."""
    alarms = 0
    for monday in pd.date_range("2024-01-01", periods=12, freq="7D"):
        inside = reference["when"].between(monday, monday + pd.Timedelta(days=6))
        alarms += bool(compare(reference[~inside], reference[inside], "when").alarm)
    assert alarms == 1


def with_campaign(reference):
    """The reference with one calm week that lies fully apart in one column."""
    during = reference["when"].between("2024-02-05", "2024-02-11")
    return reference.assign(paid=reference["paid"].where(~during, reference["paid"] + 50))


@pytest.mark.parametrize(("column", "more"), [("paid", 50), ("items", 2)])
def test_bar_when_one_calm_week_lies_fully_apart_then_its_days_and_column_are_told(
    reference, window, column, more
):
    faulty = window.assign(**{column: window[column] + more})
    report = compare(with_campaign(reference), faulty, "when")
    assert report.alarm is False
    assert report.bar.days == Days(date(2024, 2, 5), date(2024, 2, 11))
    assert report.bar.feature == "paid" and report.bar.times > 10
    without = compare(with_campaign(reference), faulty, "when", without=[report.bar.days])
    assert without.alarm is True and without.bar is None


def test_bar_when_no_calm_week_stands_out_then_there_is_none(reference, window):
    assert compare(reference, window, "when").bar is None


def test_record_when_one_calm_week_sets_the_bar_then_holds_it(reference, window):
    bar = as_record(compare(with_campaign(reference), window, "when"))["bar"]
    assert list(bar) == ["first", "last", "feature", "times"]
    assert (bar["first"], bar["last"], bar["feature"]) == ("2024-02-05", "2024-02-11", "paid")
    json.dumps(bar, allow_nan=False)


def test_window_when_it_is_a_week_of_the_reference_then_is_held_against_the_others(reference):
    week = reference[reference["when"].between("2024-01-15", "2024-01-21")]
    one = compare(reference, week, "when")
    rest = reference[~reference["when"].between("2024-01-15", "2024-01-21")]
    assert one.features == compare(rest, week, "when").features
    assert "holds days of the window" in findings(one)


def test_table_when_compared_with_itself_then_never_alarms_and_nothing_is_apart(reference):
    for time in (None, "when"):
        report = compare(reference, reference, time)
        assert report.alarm is None and report.at_most is None
        assert {one.distance for one in report.features} == {0.0}


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_window_when_some_of_its_rows_are_drawn_then_the_verdict_is_kept(reference, window, share):
    drifted = window.assign(paid=window["paid"] + 1)
    for seed in range(5):
        assert compare(reference, drifted.sample(frac=share, random_state=seed), "when").alarm
    calm = [
        compare(reference, window.sample(frac=share, random_state=n), "when") for n in range(20)
    ]
    assert sum(bool(one.alarm) for one in calm) <= 4  # 1 in 13 of these would be 1.5


@pytest.mark.parametrize("days", [1, 3, 7])
def test_window_when_it_is_short_then_is_held_against_as_short_stretches(reference, days):
    later = rows(days, MONDAY, seed=3)
    report = compare(reference, pd.concat([later] * 2), "when")
    assert (report.periods, report.period_days) == (12, days) and report.alarm is not None


# ---- no verdict


def test_reference_when_it_holds_too_few_weeks_then_gives_distances_and_no_verdict(
    reference, window
):
    report = compare(reference.head(56 * A_DAY), window, "when")
    assert report.alarm is None and report.periods == 8
    assert all(np.isnan(one.score) and one.distance >= 0 for one in report.features)


def test_tables_when_they_have_no_time_then_gives_distances_and_no_verdict(reference, window):
    report = compare(reference, window.assign(paid=9.0))
    assert report.alarm is None and (report.periods, report.period_days) == (0, 0)
    assert report.features[0].name == "when" or report.features[0].name == "paid"


@pytest.mark.parametrize("count", [1, MIN_ROWS - 1])
def test_window_when_it_has_few_rows_then_gives_distances_and_no_verdict(reference, window, count):
    report = compare(reference, window.head(count), "when")
    assert report.alarm is None and f"a verdict takes {MIN_ROWS}" in findings(report)


def test_record_when_there_is_no_verdict_then_says_null_and_not_false(reference, window):
    record = as_record(compare(reference, window))
    assert record["alarm"] is None and record["at_most"] is None
    assert record["features"][0]["score"] is None
    keys = ["name", "measure", "distance", "score", "missing", "drifted"]
    assert list(record["features"][0]) == keys
    assert list(record) == ["alarm", "rows", "calm_weeks", "at_most", "bar", "features", "findings"]


@pytest.mark.parametrize("which", ["reference", "window"])
def test_table_when_it_has_no_rows_then_says_which(reference, window, which):
    tables = {"reference": reference, "window": window}
    tables[which] = tables[which].head(0)
    with pytest.raises(DataError, match=f"The {which} has no rows"):
        compare(tables["reference"], tables["window"], "when")


def test_tables_when_they_share_no_column_then_says_what_each_has(reference, window):
    other = window[["when"]].assign(price=1)
    with pytest.raises(DataError, match="no column in common"):
        compare(reference, other, "when")


def test_table_when_a_column_is_there_twice_then_is_named(reference, window):
    twice = pd.concat([window, window[["paid"]]], axis=1)
    with pytest.raises(DataError, match="paid more than once"):
        compare(reference, twice, "when")


def test_time_when_it_is_no_column_of_times_then_says_so(reference, window):
    for time in ("paid", "plan", "none"):
        with pytest.raises(ParameterError):
            compare(reference, window, time)


# ---- findings


def changed(window, **columns):
    return window.assign(**{name: change(window[name]) for name, change in columns.items()})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.drop(columns="plan"), "Only the reference has plan: not compared."),
        (lambda w: w.assign(new=1), "Only the window has new: not compared."),
        (lambda w: w.assign(items="many"), "holds numbers in the reference and categories in"),
        (lambda w: w.assign(plan=7), "holds categories in the reference and numbers in"),
        (lambda w: w.assign(paid=np.nan), "paid is missing in every row of the window."),
        (lambda w: changed(w, paid=lambda c: c.mask(c > 1)), "before in at most 0.0%"),
        (lambda w: w.assign(items=4), "items has one value in all rows of the window: 4"),
        (lambda w: changed(w, paid=lambda c: c.mask(c > 1, np.inf)), "paid is infinite in"),
        (lambda w: w.assign(plan="d"), "plan: 100.0% of the rows have a value never seen"),
        (lambda w: w.assign(plan="d"), "plan: d went from 0.0% to 100.0%"),
        (lambda w: w[w["when"] != MONDAY], "The window has no rows on 2024-03-25"),
        (lambda w: changed(w, when=lambda c: c.mask(w["items"] == 1)), "have no time in when"),
        (lambda w: changed(w, when=lambda c: c.dt.tz_localize("UTC")), "have a time zone"),
    ],
)
def test_window_when_something_about_it_is_odd_then_a_finding_says_what(
    reference, window, change, told
):
    days = Days(date(2024, 3, 25), date(2024, 3, 31))
    report = compare(reference, change(window), "when", days=days)
    assert told in findings(report) and report.alarm is not None


def test_column_when_it_was_always_empty_and_comes_alive_then_is_told(reference, window):
    report = compare(reference.assign(paid=np.nan), window, "when")
    assert report.alarm and "paid was missing in every row of the reference" in findings(report)
    still = compare(reference.assign(paid=np.nan), window.assign(paid=None), "when")
    assert still.alarm is False and "as in the reference" in findings(still)


def test_alarm_when_it_began_on_a_day_and_in_one_slice_then_both_are_told(reference, window):
    hit = (window["when"] >= "2024-03-28") & (window["plan"] == "b")
    report = compare(reference, window.assign(paid=window["paid"] + 4 * hit), "when")
    assert report.alarm and "paid is different from 2024-03-28 on." in findings(report)
    assert "paid has moved most where plan is b" in findings(report)


def test_slice_when_the_hit_rows_share_a_measured_number_then_it_is_no_place_to_look(
    reference, window
):
    measured = reference.assign(sight=np.where(reference["plan"] == "b", 2.5, 10.0))
    hit = window["plan"] == "b"
    broken = window.assign(sight=np.where(hit, 2.5, 10.0), paid=window["paid"] + 4 * hit)
    report = compare(measured.drop(columns="plan"), broken.drop(columns="plan"), "when")
    assert report.alarm and "has moved most" not in findings(report)
    whole = compare(
        measured.assign(sight=measured["sight"].round()).drop(columns="plan"),
        broken.assign(sight=broken["sight"].round()).drop(columns="plan"),
        "when",
    )
    assert "paid has moved most where sight is 2" in findings(whole)


def test_days_when_they_are_left_out_then_their_week_is_no_reference(reference, window):
    days = [Days(date(2024, 1, 10), date(2024, 1, 10))]
    report = compare(reference, window, "when", without=days)
    assert report.periods == 11 and "what begins on 2024-01-08" in findings(report)


def test_names_when_they_are_odd_then_findings_stay_one_line(reference, window):
    odd = window.assign(**{"a\nb\x1b[2J" + "x" * 500: 1})
    (told,) = compare(reference, odd, "when").findings
    assert told.isprintable() and len(told) < 300


# ---- any table at all

ODD = [
    None,
    np.nan,
    np.inf,
    -np.inf,
    0,
    10**40,
    -1.5,
    "",
    "a",
    "2013-09-02",
    True,
    b"x",
    (1, 2),
    [1],
    {"a": 1},
    pd.NaT,
    pd.Timestamp("2013-09-02", tz="UTC"),
    date(1, 1, 1),
]
columns = st.lists(st.sampled_from(ODD), min_size=120, max_size=120)


@settings(max_examples=60, deadline=None)
@given(columns, columns, st.booleans())
def test_tables_when_their_cells_are_anything_then_there_is_a_report(before, after, dated):
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    reference = pd.DataFrame({"when": days, "x": pd.Series(before, dtype="object")})
    window = pd.DataFrame({"when": days[-1:].append([days[-1:]] * 119) + pd.Timedelta(days=1)})
    window["x"] = pd.Series(after, dtype="object")
    report = compare(reference, window, "when" if dated else None)
    assert json.loads(json.dumps(as_record(report), allow_nan=False))["rows"] == 120
    assert all(0 <= one.distance <= 1 for one in report.features)
    assert all(finding.isprintable() for finding in report.findings)
