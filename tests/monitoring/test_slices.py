from math import sqrt

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.monitoring.slices import MIN_SLICE_ROWS, MIN_WINDOWS, counts_of, judge, slices_of

ORDERS = 200
LENGTH = 13


def window(wrong, rows=200):
    """Return a window of two airports: how many calls of each were wrong, and how many it has."""
    parts = []
    for origin, count in wrong.items():
        late = np.arange(rows) < count
        parts.append(pd.DataFrame({"origin": origin, "late": late * 1.0, "probability": 0.1}))
    return pd.concat(parts, ignore_index=True)


def windows(newest, jfk=(20, 22, 18, 21, 19, 20, 22, 18, 20), lga=20):
    """Return nine windows with so many wrong calls at each airport, and the newest."""
    return [*(window({"JFK": count, "LGA": lga}) for count in jfk), newest]


@pytest.fixture(scope="module")
def weeks(real_year):
    number = (real_year["date"] - pd.Timestamp("2013-04-01")).dt.days // 7
    return [week for place, week in real_year.groupby(number) if place < 39]


@pytest.fixture(scope="module")
def counted(weeks):
    return [counts_of(week) for week in weeks]


def test_slices_when_worked_by_hand_then_gap_and_score_are_those():
    jfk, lga = slices_of(windows(window({"JFK": 60, "LGA": 20})), ("origin",))
    assert (jfk.column, jfk.value, jfk.rows) == ("origin", "JFK", 200)
    assert (jfk.accuracy, jfk.others) == (0.7, 0.9)
    assert jfk.usual == pytest.approx(0)  # 20 of 200 wrong on average, as at LGA
    wrong = np.array([20, 22, 18, 21, 19, 20, 22, 18, 20, 60])
    gaps = (20 - wrong) / 200  # of JFK to LGA; those of LGA to JFK are the same, turned round
    usual = np.array([np.delete(gaps, place).mean() for place in range(10)])
    strangeness = [max(farther(usual - gaps, n), farther(gaps - usual, n)) for n in range(10)]
    expected = farther(usual - gaps, 9) / max(strangeness[:-1])
    assert jfk.score == pytest.approx(expected) and jfk.score > 1
    assert lga.value == "LGA" and lga.usual == pytest.approx(0) and lga.score == 0


def farther(apart, place):
    """Return how far out one window lies, as a multiple of the farthest of the others."""
    far = -np.log(1 - np.clip(apart, 0, 1))
    return far[place] / (np.delete(far, place).max() + 0.001)


def test_slices_when_one_is_always_harder_then_it_does_not_alarm():
    harder = windows(window({"JFK": 81, "LGA": 20}), jfk=(80, 84, 76, 82, 78, 80, 84, 76, 80))
    jfk = next(one for one in slices_of(harder, ("origin",)) if one.value == "JFK")
    assert jfk.accuracy - jfk.others < -0.3 and jfk.usual == pytest.approx(-0.3)
    assert jfk.score < 1


def test_slices_when_all_flights_fare_worse_then_no_slice_alarms():
    found = slices_of(windows(window({"JFK": 80, "LGA": 80})), ("origin",))
    assert len(found) == 2 and found[0].accuracy == 0.6 and found[0].score < 1


def test_slices_when_one_is_too_small_in_any_window_then_it_is_left_out():
    whole = windows(window({"JFK": 60, "LGA": 20}))
    assert {one.value for one in slices_of(whole, ("origin",))} == {"JFK", "LGA"}
    for place in (0, 9):
        rest = whole[place][whole[place]["origin"] == "LGA"]
        small = rest.iloc[: MIN_SLICE_ROWS - 1].assign(origin="EWR")
        some = [*whole]
        some[place] = pd.concat([whole[place], small])
        assert {one.value for one in slices_of(some, ("origin",))} == {"JFK", "LGA"}
    few = [*whole]
    few[3] = whole[3].groupby("origin").head(MIN_SLICE_ROWS - 1)
    assert slices_of(few, ("origin",)) == []


def test_slices_when_one_is_the_whole_window_then_it_has_nothing_to_be_held_against():
    pairs = windows(window({"JFK": 60, "LGA": 20}))
    pairs = [one.assign(carrier="UA") for one in pairs]
    found = slices_of(pairs, ("origin", "carrier"))
    assert [one.value for one in found] == ["JFK", "LGA"] and found[0].score > 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", [{"late": np.nan}, {"probability": np.nan}])
def test_slices_when_the_newest_has_no_labels_or_answers_then_there_is_nothing_to_say(change):
    newest = window({"JFK": 60, "LGA": 20})
    assert slices_of(windows(newest.assign(**change)), ("origin",)) == []
    assert slices_of(windows(newest.iloc[:1]), ("origin",)) == []
    assert slices_of(windows(newest.iloc[:0]), ("origin",)) == []


def test_slices_when_an_earlier_window_has_no_labels_then_the_others_tell():
    whole = windows(window({"JFK": 60, "LGA": 20}))
    silent = whole[0].assign(late=np.nan)
    assert slices_of([silent, *whole], ("origin",)) == slices_of(whole, ("origin",))
    with pytest.raises(ParameterError, match="There are 8 windows with labels"):
        slices_of([silent, *whole[1:]], ("origin",))


def test_slices_when_windows_are_few_then_says_how_many_it_takes():
    with pytest.raises(ParameterError, match=f"It takes {MIN_WINDOWS} for a promise"):
        slices_of(windows(window({"JFK": 60, "LGA": 20}))[1:], ("origin",))
    with pytest.raises(ParameterError, match="There are 0 windows"):
        slices_of([])


def test_slices_when_a_column_is_missing_then_it_is_named():
    whole = windows(window({"JFK": 60, "LGA": 20}))
    with pytest.raises(DataError, match="has no column 'carrier'"):
        slices_of(whole)
    with pytest.raises(DataError, match="has no column 'late'"):
        slices_of([one.drop(columns="late") for one in whole], ("origin",))


def test_slices_when_a_value_is_missing_then_the_row_is_in_no_slice_and_among_the_others():
    jfk = window({"JFK": 60, "LGA": 20})
    counts = counts_of(jfk.assign(origin=jfk["origin"].where(jfk["origin"] == "JFK")), ("origin",))
    assert counts.slices == {("origin", "JFK"): (200, 140)}
    assert counts.accuracies(("origin", "JFK")) == (0.7, 0.9)


def test_slices_when_real_weeks_are_in_random_order_then_alarms_are_as_promised(counted):
    generator = np.random.default_rng(0)
    turns = 0
    alarms = 0
    for _ in range(ORDERS):
        for part in np.split(generator.permutation(len(counted)), len(counted) // LENGTH):
            found = judge([counted[place] for place in part])
            alarms += found[0].score > 1
            turns += 1
    error = sqrt(1 / LENGTH * (1 - 1 / LENGTH) / turns)
    assert alarms / turns == pytest.approx(1 / LENGTH, abs=3 * error)


@pytest.mark.parametrize("airline", ["UA", "B6", "EV"])
def test_slices_when_one_airline_cuts_its_padding_then_it_is_named(weeks, counted, airline):
    named = []
    for place in range(22, 35):  # autumn
        week = weeks[place]
        hit = week["carrier"] == airline
        changed = INCIDENTS["padding"].apply(week)
        newest = counts_of(week.assign(late=week["late"].mask(hit, changed["late"])))
        worst = judge([*counted[place - 12 : place], newest])[0]
        named.append(worst.score > 1 and worst.value == airline)
    assert sum(named) >= 12


def test_slices_when_counted_once_then_they_are_those_of_the_windows(weeks, counted):
    assert judge(counted[:LENGTH]) == slices_of(weeks[:LENGTH])
