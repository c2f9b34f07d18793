from datetime import date, timedelta

import numpy as np
import pytest

from mlops_course.data.periods import NO_PERIOD, Days, calm_periods

FEBRUARY = np.arange("2013-02-01", "2013-03-01", dtype="datetime64[D]")
WEEK = Days(date(2013, 3, 4), date(2013, 3, 10))


def days_of(window):
    return np.arange(window.first, window.last + timedelta(days=1), dtype="datetime64[D]")


def starts(found):
    return [f"{start:%d %b}" for start in found.starts]


def test_week_when_held_against_a_month_then_its_whole_weeks_count():
    found = calm_periods(FEBRUARY, WEEK, days_of(WEEK))
    assert starts(found) == ["04 Feb", "11 Feb", "18 Feb"]
    assert found.findings == ()
    assert (found.code[3:24] == np.repeat([0, 1, 2], 7)).all()
    assert (np.delete(found.code, np.arange(3, 24)) == NO_PERIOD).all()


def test_week_when_it_begins_on_a_wednesday_then_so_do_the_calm_ones():
    window = Days(date(2013, 3, 6), date(2013, 3, 12))
    found = calm_periods(FEBRUARY, window, days_of(window))
    assert starts(found) == ["06 Feb", "13 Feb", "20 Feb"]


def test_window_when_it_lies_before_the_reference_then_the_weeks_after_it_count():
    window = Days(date(2013, 1, 7), date(2013, 1, 13))
    assert starts(calm_periods(FEBRUARY, window, days_of(window))) == ["04 Feb", "11 Feb", "18 Feb"]


def test_window_of_two_days_when_cut_then_the_same_weekdays_of_each_week_count():
    window = Days(date(2013, 3, 5), date(2013, 3, 6))
    found = calm_periods(FEBRUARY, window, days_of(window))
    assert starts(found) == ["05 Feb", "12 Feb", "19 Feb", "26 Feb"]
    taken = FEBRUARY[found.code != NO_PERIOD].astype(object)
    assert {day.weekday() for day in taken} == {1, 2} and len(taken) == 8


def test_window_of_ten_days_when_cut_then_ten_days_of_every_other_week_count():
    window = Days(date(2013, 3, 4), date(2013, 3, 13))
    found = calm_periods(FEBRUARY, window, days_of(window))
    assert starts(found) == ["04 Feb", "18 Feb"]
    assert np.bincount(found.code[found.code >= 0]).tolist() == [10, 10]


def test_window_when_it_lies_within_the_reference_then_is_held_against_the_rest_and_said():
    window = Days(date(2013, 2, 11), date(2013, 2, 17))
    found = calm_periods(FEBRUARY, window, days_of(window))
    assert starts(found) == ["04 Feb", "18 Feb"]
    assert "holds days of the window" in found.findings[0]


def test_week_when_a_day_of_it_is_to_be_left_out_then_all_of_it_is():
    found = calm_periods(FEBRUARY, WEEK, days_of(WEEK), [Days(date(2013, 2, 8), date(2013, 2, 9))])
    assert starts(found) == ["11 Feb", "18 Feb"]
    assert found.findings == ("Left out, as asked: what begins on 2013-02-04.",)


def test_week_when_it_has_a_day_without_rows_then_is_left_out_and_named():
    gap = FEBRUARY[np.datetime64("2013-02-13") != FEBRUARY]
    found = calm_periods(gap, WEEK, days_of(WEEK))
    assert starts(found) == ["04 Feb", "18 Feb"]
    assert "2013-02-11" in found.findings[0] and "without rows" in found.findings[0]


def test_window_when_it_has_a_gap_then_the_other_days_are_compared_and_the_gap_is_named():
    seen = days_of(WEEK)[1:]
    found = calm_periods(FEBRUARY, WEEK, seen)
    assert "no rows on 2013-03-04" in found.findings[0]
    assert np.bincount(found.code[found.code >= 0]).tolist() == [6, 6, 6]


def test_weekends_when_there_are_never_rows_then_nothing_is_missing():
    workdays = FEBRUARY[np.is_busday(FEBRUARY)]
    found = calm_periods(workdays, WEEK, days_of(WEEK)[:5])
    assert starts(found) == ["04 Feb", "11 Feb", "18 Feb"] and found.findings == ()


@pytest.mark.parametrize("days", [FEBRUARY[:0], FEBRUARY[:3], days_of(WEEK)])
def test_reference_when_it_holds_no_whole_week_beside_the_window_then_there_is_no_period(days):
    found = calm_periods(days, WEEK, days_of(WEEK))
    assert found.starts == () and (found.code == NO_PERIOD).all()
