from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from watched import flights_of, record_of

from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.monitoring.labels import Labels
from mlops_course.monitoring.windows import as_recorded, by_count, by_days, read_record, window_of


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return flights_of(shared_workspace, date(2013, 9, 4), date(2013, 9, 17))


@pytest.fixture(scope="module")
def record(flights):
    return record_of(flights)


def test_record_when_made_of_flights_then_a_day_is_a_request_unless_a_size_is_given(flights):
    said = np.linspace(0, 1, len(flights))
    whole = as_recorded(flights, said)
    small = as_recorded(flights, said, size=100)
    assert len(whole.requests) == 14 and small.requests["rows"].max() == 100
    assert small.requests["rows"].sum() == len(flights) == whole.requests["rows"].sum()
    for record in (whole, small):
        assert (record.flights["probability"].to_numpy() == said).all()
        assert record.flights["late"].notna().sum() == flights["late"].notna().sum()


def test_windows_when_cut_by_days_then_every_flight_is_in_one(record, flights):
    windows = by_days(record, 1)
    assert [window.name for window in windows] == [f"2013-09-{day:02d}" for day in range(4, 18)]
    assert sum(len(window.flights) for window in windows) == len(flights)
    assert sum(len(window.requests) for window in windows) == len(record.requests)
    for window in windows:
        assert window.flights["date"].between(window.start, window.end, inclusive="left").all()
    usual = [window.usual_flights for window in windows]
    sizes = [len(window.flights) for window in windows]
    assert np.isnan(usual[:7]).all() and usual[7:] == sizes[:7]


def test_windows_when_cut_by_weeks_then_begin_on_mondays_and_end_when_they_are_over(record):
    weeks = by_days(record, 7)
    assert [window.name for window in weeks] == ["the week of 2013-09-02", "the week of 2013-09-09"]
    assert weeks[1].usual_flights == len(weeks[0].flights) < len(weeks[1].flights)
    assert len(by_days(record, 7, until=date(2013, 9, 15))) == 1
    assert len(by_days(record, 7, until=date(2013, 9, 30))) == 4


def test_windows_when_days_have_no_flight_then_are_there_all_the_same(flights):
    gap = record_of(flights[~flights["date"].between("2013-09-08", "2013-09-10")])
    sizes = {window.name[-2:]: len(window.flights) for window in by_days(gap, 1)}
    assert [sizes[day] for day in ("08", "09", "10")] == [0, 0, 0] and sizes["11"] > 500
    silent = by_days(gap, 1)[4]
    assert silent.quality.rows == 0 and np.isnan(silent.quality.accuracy)


def test_windows_when_cut_by_count_then_each_holds_as_many_and_the_rest_waits(record, flights):
    windows = by_count(record, 2_000)
    assert [len(window.flights) for window in windows] == [2_000] * (len(flights) // 2_000)
    assert windows[1].name == "flights 2,001 to 4,000"
    together = pd.concat(window.flights for window in windows)
    assert not together.duplicated(["request_id", "row"]).any()
    assert by_count(record, len(flights) + 1) == []


def test_windows_when_nothing_was_announced_then_there_is_none_unless_time_went_on(record):
    nothing = replace(record, flights=record.flights.iloc[:0])
    assert by_days(nothing, 7) == [] and by_count(nothing, 10) == []
    whole = window_of(nothing, "the night", date(2013, 9, 4), 1)
    assert whole.quality.rows == 0 and whole.end == pd.Timestamp("2013-09-05")


@pytest.mark.parametrize("cut", [by_days, by_count])
@pytest.mark.parametrize("number", [0, -1, 2.5, "7", True])
def test_windows_when_their_length_is_none_then_says_so(record, cut, number):
    with pytest.raises(ParameterError, match="whole number"):
        cut(record, number)


def test_findings_when_all_is_well_then_there_is_none(record):
    assert record.findings == ()


def test_findings_when_labels_and_answers_are_odd_then_each_kind_is_named(record):
    known = record.known
    first = known.labels.iloc[[0]]
    odd = [
        first.assign(late=1 - first["late"]),
        first.assign(request_id="elsewhere"),
        first.assign(row=1, at=pd.Timestamp("2013-01-01")),
    ]
    labels = pd.concat([known.labels, *odd], ignore_index=True)
    requests = pd.concat([known.requests, known.requests.iloc[[3]]], ignore_index=True)
    stray = record.requests.iloc[[-1]].assign(request_id="nobody")
    clock = record.requests["at"].mask(record.requests.index == 5, pd.Timestamp("2025", tz="UTC"))
    found = replace(
        record,
        requests=pd.concat([record.requests.assign(at=clock), stray]),
        known=Labels(requests, labels),
        unreadable=2,
    ).findings
    assert list(found[:-1]) == [
        "Entries of the log that cannot be read: 2.",
        "Requests announced twice: 1.",
        "Requests answered that nobody announced: 1.",
        "Labels of flights that nobody announced: 1.",
        "Labels dated before their flight: 1.",
        "Flights with labels that differ: 1.",
    ]
    assert "clock went back" in found[-1]


def test_record_when_there_is_no_log_then_says_so(tmp_path):
    with pytest.raises(WorkspaceError):
        read_record(tmp_path / "run.db")
