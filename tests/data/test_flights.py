import shutil
from datetime import date

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC, encode, vocabulary_of
from mlops_course.data.flights import (
    draw_days,
    fingerprint,
    labelled,
    load_flights,
    shuffle_days,
)


@pytest.fixture(scope="module")
def year(shared_workspace):
    return load_flights(shared_workspace)


def test_load_when_whole_year_then_holds_the_flights_that_pushed_back(year):
    assert len(year) == 328_521
    assert len(labelled(year)) == 327_346
    assert labelled(year)["late"].mean() == pytest.approx(0.237, abs=5e-4)
    assert year["dep_delay"].notna().all()
    assert {str(year[name].dtype) for name in NUMERIC} == {"float64"}
    assert {str(year[name].dtype) for name in CATEGORICAL} == {"category"}


def test_load_when_flight_is_known_then_joins_the_weather_of_its_airport_and_hour(shared_workspace):
    flights = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 1), extra=["flight"])
    first = flights[flights["flight"] == 1545].iloc[0]
    assert (first["carrier"], first["origin"], first["dest"]) == ("UA", "EWR", "IAH")
    assert first["temp"] == pytest.approx(39.02) and first["dep_delay"] == 2


def test_load_when_the_cached_file_is_damaged_then_it_is_made_again(workspace, year):
    (workspace.cache / "flights.parquet").write_bytes(b"stray")
    pd.testing.assert_frame_equal(load_flights(workspace), year)


def test_load_when_the_workspace_was_deleted_then_says_so(workspace):
    shutil.rmtree(workspace.root)
    with pytest.raises(WorkspaceError, match="from its first cell"):
        load_flights(workspace)


def test_load_when_period_lies_outside_2013_then_says_what_there_is(shared_workspace):
    with pytest.raises(ParameterError, match="2013-01-01 to 2013-12-31"):
        load_flights(shared_workspace, date(2014, 1, 1), date(2014, 2, 1))
    with pytest.raises(ParameterError, match="first day first"):
        load_flights(shared_workspace, date(2013, 2, 1), date(2013, 1, 1))


@pytest.mark.parametrize("first", ["April", "1.4.2013", None])
def test_load_when_a_day_is_none_then_says_how_to_give_one(shared_workspace, first):
    with pytest.raises(ParameterError, match=r"each as 2013-09-02"):
        load_flights(shared_workspace, first, date(2013, 4, 30))


def came_from(drawn, flights):
    """Return by the day that was filled on which date its flights really were."""
    real = flights.loc[drawn.index, "date"].to_numpy()
    return pd.Series(real, index=drawn["date"]).groupby(level=0).unique()


def test_draw_when_days_are_drawn_then_each_is_a_whole_one_of_the_weeks_around_it(year):
    january = year[year["date"] < "2013-02-01"]
    drawn = draw_days(january, 0)
    sources = came_from(drawn, january)
    assert all(len(days) == 1 for days in sources) and len(sources) == 31
    shifts = pd.Series([days[0] for days in sources], index=sources.index) - sources.index
    assert set(shifts.dt.days) == {-7, 0, 7}
    sizes = january.groupby("date").size()
    assert (drawn.groupby("date").size().to_numpy() == sizes[sources.index + shifts]).all()
    assert (drawn["day_of_week"] == drawn["date"].dt.day_of_week).all()
    assert drawn["date"].is_monotonic_increasing


def test_draw_when_seed_or_period_differs_then_a_day_depends_on_seed_and_date_alone(year):
    spring = year[year["date"].between("2013-03-25", "2013-04-21")]
    monday, sunday = date(2013, 4, 8), date(2013, 4, 14)
    whole, week = draw_days(spring, 0), draw_days(spring, 0, monday, sunday)
    inside = whole["date"].between(str(monday), str(sunday))
    pd.testing.assert_frame_equal(whole[inside], week)
    pd.testing.assert_frame_equal(week, draw_days(spring, 0, monday, sunday))
    drawn = [draw_days(spring, seed, monday, sunday).index for seed in range(8)]
    assert len({tuple(index) for index in drawn}) == 8


def test_draw_when_a_day_has_no_flights_then_neighbours_stand_in_or_it_stays_empty(year):
    week = year[year["date"].between("2013-04-08", "2013-04-14")]
    hole = week[week["date"] != "2013-04-10"]
    assert draw_days(hole, 0)["date"].nunique() == 6
    both = year[year["date"].between("2013-04-08", "2013-04-21")]
    filled = draw_days(both[both["date"] != "2013-04-10"], 0)
    assert came_from(filled, both)["2013-04-10"].tolist() == [pd.Timestamp("2013-04-17")]


def test_fingerprint_when_a_value_a_name_or_the_order_changes_then_changes(year):
    rows = year.iloc[:1_000]
    known = fingerprint(rows)
    assert fingerprint(rows.copy()) == known
    assert fingerprint(rows.iloc[::-1]) != known
    assert fingerprint(rows.rename(columns={"temp": "warmth"})) != known
    changed = rows.copy()
    changed.loc[changed.index[5], "dep_delay"] += 1
    assert fingerprint(changed) != known


def test_encode_when_frame_or_plain_lists_then_same_matrix(year):
    rows = year.iloc[:500]
    words = vocabulary_of(rows)
    plain = {name: rows[name].tolist() for name in FEATURES}
    matrix = encode(rows, words)
    assert matrix.shape == (500, 14) and matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, encode(plain, words))
    assert matrix[0, FEATURES.index("origin")] == words["origin"].index(rows["origin"].iloc[0])


def test_encode_when_category_is_unknown_then_becomes_missing(year):
    rows = {name: year[name].iloc[:1].tolist() for name in FEATURES} | {"dest": ["XXX"]}
    assert np.isnan(encode(rows, vocabulary_of(year))[0, FEATURES.index("dest")])


def test_shuffle_days_when_done_then_every_day_is_there_once_on_its_weekday_and_near(
    shared_workspace,
):
    spring = load_flights(shared_workspace, date(2013, 4, 1), date(2013, 5, 26))
    moved = shuffle_days(spring, 0)
    keys = ["flight_of_day", "dep_delay", "distance", "temp", "hour"]
    number = spring.groupby("date").cumcount()
    one = spring.assign(flight_of_day=number)[keys].sort_values(keys).reset_index(drop=True)
    number = moved.groupby("date").cumcount()
    two = moved.assign(flight_of_day=number)[keys].sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(one, two)
    assert (moved["date"].dt.day_of_week == moved["day_of_week"]).all()
    assert moved["date"].is_monotonic_increasing and set(moved["date"]) == set(spring["date"])
    firsts = spring.groupby("date")["dep_delay"].sum()
    came = {total: day for day, total in firsts.items()}
    apart = [
        abs(day - came[total]) for day, total in moved.groupby("date")["dep_delay"].sum().items()
    ]
    assert max(apart) == pd.Timedelta(weeks=2) and sum(gap > pd.Timedelta(0) for gap in apart) > 20


def test_shuffle_days_when_the_seed_is_the_same_then_so_is_the_order_and_else_another(
    shared_workspace,
):
    spring = load_flights(shared_workspace, date(2013, 4, 1), date(2013, 4, 28))
    one, again, other = (shuffle_days(spring, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one["dep_delay"].equals(other["dep_delay"])
