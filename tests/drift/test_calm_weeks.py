from datetime import date

import numpy as np
import pandas as pd
import pytest
from drift_speed import by_hand, milliseconds, prepared, textbook_report, verdict
from scipy.stats import ks_2samp

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC, WEATHER
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift.calm_weeks import (
    KINDS,
    MIN_WEEKS,
    ROLLING_WEEKS,
    STEADY,
    Group,
    drift_distances,
    drift_scores,
    drifted,
    far_out,
    fit_reference,
    judge,
    promise_in_words,
)
from mlops_course.drift.profiles import profile

APRIL, AUTUMN = date(2013, 4, 1), date(2013, 9, 23)
BLIZZARD = {date(2013, 2, 4): "the blizzard of 8 and 9 February"}
WINDOWS = 12


@pytest.fixture(scope="module")
def weeks(shared_workspace):
    """The 51 whole weeks of the year, by their Monday."""
    flights = load_flights(shared_workspace)
    mondays = flights["date"] - pd.to_timedelta(flights["date"].dt.day_of_week, unit="D")
    found = {monday.date(): week for monday, week in flights.groupby(mondays)}
    return {monday: week for monday, week in found.items() if week["date"].nunique() == 7}


@pytest.fixture(scope="module")
def calm(weeks):
    return {monday: week for monday, week in weeks.items() if monday < APRIL}


@pytest.fixture(scope="module")
def later(weeks):
    return {monday: week for monday, week in weeks.items() if monday >= APRIL}


@pytest.fixture(scope="module")
def winter(calm):
    return fit_reference(pd.concat(calm.values()))


@pytest.fixture(scope="module")
def references(winter, later):
    """The reference on each later Monday, the weeks before it taken up."""
    found = {}
    reference = winter
    for monday, week in later.items():
        found[monday] = reference
        reference = reference.followed_by(week)
    return found


@pytest.fixture(scope="module")
def autumn(weeks):
    return weeks[AUTUMN]


def without(weeks, monday, left_out=()):
    return fit_reference(
        pd.concat([week for one, week in weeks.items() if one != monday]),
        left_out={one: cause for one, cause in dict(left_out).items() if one != monday},
    )


def alarms(scores):
    """Return whether the weather alarms, and whether the rest does."""
    moved = drifted(scores)
    return any(name in WEATHER for name in moved), any(name in STEADY for name in moved)


def found_in_windows(references, weeks, change, rows, windows=WINDOWS):
    """Return in what share of windows of so many flights each verdict alarms."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(windows):
        monday = list(references)[number % len(references)]
        week = change(weeks[monday])
        window = week.iloc[generator.permutation(len(week))[:rows]]
        found.append(alarms(drift_scores(references[monday], window)))
    return np.mean(found, axis=0)


@pytest.fixture(scope="module")
def held_out(calm):
    """For each calm week the reference of all the others."""
    return {monday: without(calm, monday) for monday in calm}


# ---- the promise


def test_calm_weeks_when_each_is_held_out_then_one_of_the_twelve_alarms_in_each_verdict(
    calm, held_out
):
    """That is so by construction, whatever the weeks: it proves that all are scored alike."""
    found = [alarms(drift_scores(held_out[monday], week)) for monday, week in calm.items()]
    assert np.sum(found, axis=0).tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_any_weeks_of_the_year_when_each_is_held_out_then_one_of_them_alarms(weeks, seed):
    drawn = np.random.default_rng(seed).choice(len(weeks), MIN_WEEKS + 1, replace=False)
    some = {monday: weeks[monday] for monday in np.array(list(weeks))[drawn]}
    found = [alarms(drift_scores(without(some, one), week)) for one, week in some.items()]
    assert np.sum(found, axis=0).tolist() == [1, 1]


def test_promise_when_there_are_twelve_weeks_then_is_one_in_thirteen_for_each_verdict(winter):
    assert winter.rolling.promise == winter.fixed.promise == pytest.approx(1 / 13)
    assert winter.promise == pytest.approx(2 / 13)
    assert winter.false_alarms_a_year == pytest.approx(8)
    told = promise_in_words(winter)
    assert "1 in 13 (7.7%), 4 times a year" in told and "at most 15.4%" in told
    assert told.count("a week of the same season as those") == 2


def test_reference_when_weeks_are_too_few_then_gives_distances_and_no_verdict(calm, autumn):
    first = list(calm.values())
    few = fit_reference(pd.concat(first[: MIN_WEEKS - 1]))
    assert drift_scores(few, autumn) == {} and drifted({}) == ()
    assert set(drift_distances(few, autumn)) == set(FEATURES)
    assert few.promise == 0 and promise_in_words(few).count("without a verdict") == 2
    enough = fit_reference(pd.concat(first[:MIN_WEEKS]))
    assert set(drift_scores(enough, autumn)) == set(FEATURES)
    assert enough.fixed.promise == pytest.approx(0.1)


def test_reference_when_only_the_weather_has_weeks_enough_then_only_that_is_judged(calm, autumn):
    few = pd.concat(list(calm.values())[:3])
    reference = fit_reference(few, before=pd.concat(calm.values()))
    assert set(drift_scores(reference, autumn)) == set(WEATHER)
    assert reference.promise == pytest.approx(1 / 13)


def test_reference_when_it_has_no_week_then_nothing_is_known_and_it_fills_as_weeks_go_by(
    calm, autumn
):
    reference = fit_reference(autumn.iloc[:0])
    assert drift_scores(reference, autumn) == drift_distances(reference, autumn) == {}
    assert reference.followed_by(autumn.iloc[:0]) is reference
    for week in calm.values():
        reference = reference.followed_by(week)
    assert set(drift_scores(reference, autumn)) == set(WEATHER)


@pytest.mark.parametrize("rows", [1, 30, 1_000, None])
def test_week_when_it_equals_a_reference_week_then_never_alarms(calm, winter, rows):
    """It is no stranger than its equal; rows drawn of both may differ, so whole weeks are meant."""
    if rows is None:
        assert all(drifted(drift_scores(winter, week)) == () for week in calm.values())
        return
    few = {monday: week.sample(rows, random_state=0) for monday, week in calm.items()}
    reference = fit_reference(pd.concat(calm.values()))
    groups = (reference.rolling, reference.fixed)
    for group in groups:
        weeks = tuple(profile(week, group.kinds) for week in few.values())
        small = Group(group.kinds, weeks)
        assert not any(one.drifted for week in weeks for one in judge(small, week))


@pytest.mark.parametrize("incident", ["clock", "timezone", "hours", "celsius", "dead-weather"])
@pytest.mark.parametrize("rows", [1_000, 3_000])
def test_drifted_week_when_some_of_its_flights_are_drawn_then_the_verdict_is_kept(
    references, autumn, incident, rows
):
    changed = INCIDENTS[incident].apply(autumn)
    whole = drifted(drift_scores(references[AUTUMN], changed))
    for seed in range(5):
        some = drift_scores(references[AUTUMN], changed.sample(rows, random_state=seed))
        assert drifted(some)[0] in whole


# ---- real weeks


def test_bar_when_one_week_lies_far_out_then_it_is_told_in_ten_of_39_calm_weeks(weeks):
    counted = [profile(week, KINDS) for week in weeks.values()]
    bars = []
    for place in range(ROLLING_WEEKS, len(counted)):
        group = Group(KINDS, tuple(counted[place - ROLLING_WEEKS : place]))
        if not any(one.drifted for one in judge(group, counted[place])):
            bars.append(far_out(group, counted[place]))
    told = [bar for bar in bars if bar is not None]
    assert len(told) == 10
    assert {bar.name for bar in told} == {"day_of_week", "visib"}
    first = bars[0]
    assert list(weeks)[first.place] == date(2013, 2, 4) and first.times == pytest.approx(
        4.49, abs=0.01
    )


def test_bar_when_there_is_no_verdict_then_there_is_none(weeks):
    counted = [profile(week, KINDS) for week in weeks.values()]
    few = Group(KINDS, tuple(counted[: MIN_WEEKS - 1]))
    assert far_out(few, counted[20]) is None
    assert far_out(Group(KINDS, tuple(counted[:12])), profile(weeks[APRIL].head(0), KINDS)) is None


def test_later_weeks_when_nothing_is_broken_then_seven_of_39_alarm(references, later):
    found = {
        f"{monday:%d %b}": drifted(drift_scores(references[monday], week))
        for monday, week in later.items()
    }
    assert {monday: moved for monday, moved in found.items() if moved} == {
        "06 May": ("dewp",),
        "20 May": ("visib",),
        "30 Sep": ("visib",),
        "07 Oct": ("wind_speed",),
        "25 Nov": ("precip",),
        "02 Dec": ("visib",),
        "23 Dec": ("dest", "distance"),
    }


def test_weather_when_held_against_winter_all_year_then_most_weeks_alarm(winter, later):
    assert sum(alarms(drift_scores(winter, week))[0] for week in later.values()) > 20


def test_weather_when_weeks_that_alarmed_stay_out_then_the_season_never_finds_its_way_back(
    winter, later
):
    alarmed = 0
    reference = winter
    for week in later.values():
        is_alarm, _ = alarms(drift_scores(reference, week))
        alarmed += is_alarm
        if not is_alarm:
            reference = reference.followed_by(week)
    assert alarmed > 20


def test_blizzard_when_left_out_then_smaller_changes_are_found_and_a_new_timetable_is_one(
    calm, later, held_out
):
    spread = pd.concat(calm.values())["day_of_week"].std()
    usual = {monday: week for monday, week in calm.items() if monday not in BLIZZARD}
    counts = {"shifted": [0, 0], "later": [0, 0]}
    named = [held_out, {monday: without(calm, monday, BLIZZARD) for monday in usual}]
    for which, known in enumerate(named):
        for monday, week in usual.items():
            moved = week.assign(day_of_week=week["day_of_week"] + spread / 2)
            counts["shifted"][which] += alarms(drift_scores(known[monday], moved))[1]
    complete = fit_reference(pd.concat(calm.values()))
    reduced = fit_reference(pd.concat(calm.values()), left_out=BLIZZARD)
    for which, reference in enumerate((complete, reduced)):
        counts["later"][which] = sum(
            alarms(drift_scores(reference, week))[1] for week in later.values()
        )
    assert counts == {"shifted": [1, 11], "later": [1, 36]}
    assert "4 February (the blizzard" in promise_in_words(reduced)


@pytest.mark.parametrize("day", [date(2013, 2, 5), date(2014, 2, 3)])
def test_left_out_when_no_week_begins_on_that_day_then_says_how_to_name_one(calm, day):
    with pytest.raises(ParameterError, match="named by its Monday"):
        fit_reference(pd.concat(calm.values()), left_out={day: "a typing error"})


# ---- what is found


@pytest.mark.parametrize(
    ("incident", "expected"),
    [
        ("clock", {"dep_delay"}),
        ("hours", {"dep_delay"}),
        ("timezone", {"hour"}),
        ("celsius", {"temp", "dewp"}),
        ("dead-weather", set(WEATHER)),
    ],
)
def test_scores_when_an_incident_strikes_then_what_it_changed_leads_the_list(
    references, autumn, incident, expected
):
    moved = drifted(drift_scores(references[AUTUMN], INCIDENTS[incident].apply(autumn)))
    assert set(moved[: len(expected)]) == expected


def shifted(name, calm):
    far = pd.concat(calm.values())[name].std() / 2
    return lambda rows: rows.assign(**{name: rows[name] + far})


@pytest.mark.parametrize("name", ["dep_delay", "hour", "distance"])
def test_windows_of_1000_when_an_input_moves_by_half_a_deviation_then_are_found(
    calm, held_out, name
):
    _, rest = found_in_windows(held_out, calm, shifted(name, calm), 1_000)
    assert rest >= 0.9


@pytest.mark.parametrize(
    ("incident", "verdict"), [("clock", 1), ("timezone", 1), ("hours", 1), ("celsius", 0)]
)
@pytest.mark.parametrize("rows", [200, 1_000])
def test_windows_when_an_incident_strikes_then_are_found(calm, held_out, incident, verdict, rows):
    share = found_in_windows(held_out, calm, INCIDENTS[incident].apply, rows)
    assert share[verdict] >= 0.8


def test_windows_when_the_temperature_moves_by_half_a_deviation_then_no_more_alarm_than_calm_ones(
    calm, held_out
):
    weather, _ = found_in_windows(held_out, calm, shifted("temp", calm), 1_000)
    assert weather <= 0.2


@pytest.mark.parametrize("rows", [200, 1_000])
def test_small_calm_windows_when_judged_then_alarm_hardly_more_often_than_promised(calm, rows):
    usual = [monday for monday in calm if monday not in BLIZZARD]
    known = {monday: without(calm, monday, BLIZZARD) for monday in usual}
    share = found_in_windows(known, calm, INCIDENTS["none"].apply, rows, windows=4 * len(usual))
    assert 0 < share[0] <= 1.5 / len(usual) and share[1] <= 1.5 / len(usual)


def test_weather_fault_when_it_stays_then_is_told_as_it_begins_and_becomes_normal(
    references, weeks
):
    reference = references[AUTUMN]
    found = []
    for monday in [one for one in weeks if one >= AUTUMN][:6]:
        broken = INCIDENTS["celsius"].apply(weeks[monday])
        found.append("temp" in drifted(drift_scores(reference, broken)))
        reference = reference.followed_by(broken)
    assert found[0] and not any(found[2:])


def test_weather_fault_when_the_reference_is_kept_then_is_told_every_week(references, weeks):
    for monday in [one for one in weeks if one >= AUTUMN][:6]:
        broken = INCIDENTS["celsius"].apply(weeks[monday])
        assert "temp" in drifted(drift_scores(references[AUTUMN], broken))


# ---- the rolling reference


def test_reference_when_followed_by_a_week_then_the_oldest_goes_and_the_old_one_is_as_it_was(
    winter, autumn
):
    before = winter.rolling.weeks
    after = winter.followed_by(autumn)
    assert len(after.rolling.weeks) == ROLLING_WEEKS
    assert after.rolling.weeks[:-1] == before[1:] and winter.rolling.weeks == before
    assert after.fixed is winter.fixed


@pytest.mark.parametrize("rows", [0, 7, 3_000])
def test_reference_when_little_of_a_week_was_seen_then_stays_as_it_is(winter, autumn, rows):
    assert winter.followed_by(autumn.iloc[:rows]) is winter


def test_reference_when_the_period_ends_within_a_week_then_whole_weeks_count(calm, later):
    first_days = next(iter(later.values())).head(2_000)
    reference = fit_reference(pd.concat([*calm.values(), first_days]))
    assert len(reference.fixed.weeks) == 12


# ---- odd columns


def test_scores_when_only_the_label_moves_then_inputs_score_as_before(references, autumn):
    padded = INCIDENTS["padding"].apply(autumn)
    assert drift_scores(references[AUTUMN], padded) == drift_scores(references[AUTUMN], autumn)


def test_scores_when_words_are_plain_strings_as_in_the_log_then_are_the_same(references, autumn):
    plain = autumn.astype({name: "object" for name in CATEGORICAL}).drop(columns="date")
    assert drift_scores(references[AUTUMN], plain) == drift_scores(references[AUTUMN], autumn)


def test_scores_when_nothing_was_answered_then_there_are_none(winter, autumn):
    assert drift_scores(winter, autumn.iloc[:0]) == drift_distances(winter, autumn.iloc[:0]) == {}


@pytest.mark.parametrize("name", FEATURES)
def test_scores_when_a_column_is_empty_or_absent_then_it_has_drifted_and_leads(
    references, autumn, name
):
    reference = references[AUTUMN]
    empty = drift_scores(reference, autumn.assign(**{name: None}))
    assert drifted(empty)[0] == name and np.isfinite(empty[name])
    assert drift_scores(reference, autumn.drop(columns=name)) == empty


def test_scores_when_a_column_was_always_empty_and_comes_alive_then_it_has_drifted(calm, autumn):
    dead = pd.concat(calm.values()).assign(pressure=np.nan)
    reference = fit_reference(dead)
    assert drifted(drift_scores(reference, autumn))[0] == "pressure"
    assert drift_scores(reference, autumn.assign(pressure=np.nan))["pressure"] == 0


@pytest.mark.parametrize("name", ["dep_delay", "distance", "hour", "day_of_week"])
def test_scores_when_a_column_gets_stuck_then_it_has_drifted(references, autumn, name):
    stuck = autumn.assign(**{name: autumn[name].quantile(0.9)})
    assert name in drifted(drift_scores(references[AUTUMN], stuck))


def test_scores_when_a_column_never_changes_then_it_has_not_drifted(calm, autumn):
    same = [week.assign(hour=7.0, carrier="UA") for week in (*calm.values(), autumn)]
    scores = drift_scores(fit_reference(pd.concat(same[:-1])), same[-1])
    assert scores["hour"] == scores["carrier"] == 0


def test_scores_when_a_category_was_never_seen_then_its_share_counts_as_distance(winter, autumn):
    airport = autumn["dest"].astype(str).mask(np.arange(len(autumn)) % 2 == 0, "a longer name")
    renamed = autumn.assign(dest=airport)
    assert drifted(drift_scores(winter, renamed))[0] == "dest"
    assert 0.5 < drift_distances(winter, renamed)["dest"] < 0.6


def test_distances_when_computed_then_equal_scipy_and_pandas_on_the_pooled_weeks(
    winter, calm, autumn
):
    pooled = pd.concat(calm.values())
    found = drift_distances(winter, autumn)
    for name in NUMERIC:
        expected = ks_2samp(autumn[name].dropna(), pooled[name].dropna()).statistic
        assert found[name] == pytest.approx(expected, abs=1e-12)
    for name in CATEGORICAL:
        one = autumn[name].astype(str).value_counts(normalize=True)
        other = pooled[name].astype(str).value_counts(normalize=True)
        assert found[name] == pytest.approx(one.sub(other, fill_value=0).abs().sum() / 2)


# ---- the textbook's tests, and the time it takes


def test_p_values_when_from_counts_then_equal_those_of_scipy_by_hand(calm, autumn):
    """With ties, of which the delay has many, a p-value of Kolmogorov and Smirnov is too large."""
    pooled = pd.concat(calm.values())
    whole, _ = prepared(pooled)
    some = autumn.sample(500, random_state=0)
    for window in (autumn, some):
        assert textbook_report(whole, window) == pytest.approx(by_hand(pooled, window), abs=1e-4)


def test_report_when_the_reference_is_counted_then_takes_milliseconds(calm, autumn):
    """The figures to reach are 15 and 60 ms at rest; a busy machine may take five times that."""
    whole, weeks = prepared(pd.concat(calm.values()))
    assert len(weeks.weeks) == 12
    assert milliseconds(lambda: textbook_report(whole, autumn)) < 5 * 15
    assert milliseconds(lambda: verdict(weeks, autumn)) < 5 * 60
    assert milliseconds(lambda: verdict(weeks, autumn.head(1_000))) < 5 * 60
