from datetime import date

import numpy as np
import pandas as pd
import pytest
from counting import other_weeks
from scipy.stats import t

from mlops_course.core.errors import ParameterError
from mlops_course.data.flights import labelled, load_flights
from mlops_course.release import comparison
from mlops_course.release.comparison import MARGIN, SLICE_MARGIN, compare, surely_better
from mlops_course.stats.clustered import cluster_sums, mean_bounds, ratio_bounds
from mlops_course.training.evaluation import baseline
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def week(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 9, 23), date(2013, 9, 29)))


@pytest.fixture(scope="module")
def late(week):
    return week["late"].to_numpy()


@pytest.fixture(scope="module")
def rule(week):
    """What the one-line rule calls late, as a model would say it."""
    return baseline(week).astype(float)


@pytest.fixture(scope="module")
def good(late, rule):
    """Answers better than the rule's: a quarter of its errors are gone."""
    return np.where(np.arange(len(rule)) % 4 == 0, late, rule)


@pytest.fixture(scope="module")
def exam(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 3, 18), date(2013, 3, 31)))


@pytest.fixture(scope="module")
def later(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 4, 1), date(2013, 12, 31)))


@pytest.fixture(scope="module")
def models(shared_workspace):
    """Three models that are about equally good."""
    rows = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 3, 17))
    settings = [{}, {"max_iter": 40, "learning_rate": 0.15}, {"max_iter": 15}]
    return [train(rows, TrainingConfig(**some)).model for some in settings]


def failed(verdict):
    return {check.name for check in verdict.checks if not check.passed}


def seen(verdict, name):
    return next(check.seen for check in verdict.checks if check.name == name)


def turned(calls, chosen):
    """Return calls of which some are turned into their contrary."""
    return np.where(chosen, 1 - calls, calls)


def test_compare_when_the_candidate_is_the_rule_itself_then_refuses(week, rule):
    assert failed(compare(week, rule)) == {"better than the rule"}


def test_compare_when_the_candidate_is_right_more_often_then_passes_and_says_how_sure(week, good):
    verdict = compare(week, good)
    assert verdict.passed and len(verdict.checks) > 8
    told = seen(verdict, "better than the rule")
    assert told.startswith("Accuracy 9") and told.endswith(f"on these {len(week):,} flights.")
    told = seen(verdict, "not worse overall")
    assert "(one-sided 95%, by 7 days in spells); at most 1.00 may be lost." in told


def test_compare_when_the_candidate_wins_overall_but_loses_an_airport_then_refuses(
    week, late, rule
):
    at_jfk = (week["origin"] == "JFK").to_numpy()
    spoilt = at_jfk & (np.arange(len(late)) % 20 == 0)
    candidate = np.where(spoilt, 1 - late, np.where(at_jfk, rule, late))
    found = failed(compare(week, candidate))
    assert "not worse for origin JFK" in found and "better than the rule" not in found


def test_compare_when_middling_carriers_lose_then_they_are_judged_together_and_it_refuses(
    week, late, good
):
    middling = week["carrier"].isin(["AA", "9E", "US", "WN"]).to_numpy()
    spoilt = middling & (np.arange(len(late)) % 12 == 0)
    verdict = compare(week, turned(good, spoilt), good)
    assert "not worse for other carriers" in failed(verdict)
    assert not any(name.startswith("not worse for carrier") for name in failed(verdict))


def test_compare_when_a_slice_too_small_to_clear_is_lost_then_it_refuses_and_names_it(
    week, late, good
):
    assert compare(week, good, good).passed
    hawaiian = (week["carrier"] == "HA").to_numpy()
    assert 0 < hawaiian.sum() < 10
    verdict = compare(week, np.where(hawaiian, 1 - late, good), np.where(hawaiian, late, good))
    assert failed(verdict) == {"no sure loss for small slices"}
    assert seen(verdict, "no sure loss for small slices").startswith(
        "For carrier HA -100.00 points"
    )


def test_compare_when_small_slices_are_as_good_then_says_which_could_not_be_cleared(week, good):
    told = seen(compare(week, good, good), "no sure loss for small slices")
    assert told.startswith("Too small to rule a loss out: carrier 9E, carrier A")
    assert told.endswith("none surely loses (one-sided 99.58% each, by day).")


def test_compare_when_rows_or_days_are_few_then_cannot_tell_however_good(week, late):
    few = week.iloc[:900]
    assert failed(compare(few, late[:900])) == {"enough rows", "enough days"}
    four = (week["date"] <= pd.Timestamp("2013-09-26")).to_numpy()
    verdict = compare(week[four], late[four])
    assert failed(verdict) == {"enough days"} and len(verdict.checks) == 3
    assert seen(verdict, "enough days") == "They are of 4 days; fewer than 5 cannot tell."


def test_compare_when_the_candidate_equals_the_champion_then_a_release_passes_and_a_repair_not(
    week, good
):
    assert compare(week, good, good).passed
    assert failed(compare(week, good, good, must_gain=True)) == {"better overall"}


def test_compare_when_a_repair_gains_overall_but_surely_loses_a_slice_then_refuses(
    week, late, rule
):
    at_jfk = (week["origin"] == "JFK").to_numpy()
    elsewhere = np.where(at_jfk, rule, late)
    assert compare(week, elsewhere, rule, must_gain=True).passed
    spoilt = at_jfk & (np.arange(len(late)) % 20 == 0)
    verdict = compare(week, turned(elsewhere, spoilt), rule, must_gain=True)
    assert failed(verdict) == {"no sure loss for origin JFK"}
    assert "(one-sided 99." in seen(verdict, "no sure loss for origin JFK")


def test_compare_when_both_are_far_below_the_rule_then_that_blocks_the_better_one_too(
    week, late, rule
):
    worse = turned(rule, np.arange(len(rule)) % 5 == 0)
    better = turned(rule, np.arange(len(rule)) % 10 == 0)
    found = failed(compare(week, better, worse, must_gain=True))
    assert found == {"no sure loss to the rule"}


def test_compare_when_the_candidate_leaves_flights_unanswered_then_blocks_for_that(week, late):
    silent = np.where(np.arange(len(late)) % 10 == 0, np.nan, late)
    verdict = compare(week, silent)
    assert failed(verdict) == {"answers every flight"}
    assert seen(verdict, "answers every flight").startswith(f"{np.isfinite(silent).sum():,} of")


def test_compare_when_the_champion_is_mostly_silent_then_its_silence_is_no_call(week, late, good):
    champion = np.where(np.arange(len(late)) % 4 == 1, good, np.nan)
    answered = ~np.isnan(champion)
    verdict = compare(week, good, champion, must_gain=True)
    right = (good == late)[answered].mean()
    told = seen(verdict, "better overall")
    assert f"Accuracy {right:.1%} against {right:.1%}" in told and "+0.00 points" in told
    assert failed(verdict) == {"better overall"}


def test_compare_when_one_seldom_answers_then_there_are_too_few_rows_for_a_verdict(week, late):
    champion = np.where(np.arange(len(late)) % 10 == 0, 1 - late, np.nan)
    assert "enough rows" in failed(compare(week, late, champion))


def test_compare_when_the_loss_is_beyond_what_may_be_lost_then_refuses_and_names_the_margin(
    exam, models
):
    champion = models[0].probability(exam)
    lost = np.arange(len(exam)) % 40 == 0
    verdict = compare(exam, turned(champion, lost), champion, against="version 7", confidence=0.99)
    assert "not worse overall" in failed(verdict)
    told = seen(verdict, "not worse overall")
    assert "of version 7: -2." in told
    assert told.endswith("(one-sided 99%, by 14 days); at most 1.00 may be lost.")


def test_compare_when_no_call_differs_then_is_only_as_sure_as_losses_of_the_margin_allow(
    exam, models
):
    champion = models[0].probability(exam)
    told = seen(compare(exam, champion, champion, confidence=0.99), "not worse overall")
    assert len(exam) == 12_836 and "+0.00 points, at least -0.23 (one-sided 99%" in told


def test_compare_when_nothing_is_answered_then_there_is_nothing_to_tell_from(week, late):
    verdict = compare(week, np.full(len(late), np.nan))
    assert failed(verdict) == {"answers every flight", "enough rows", "enough days"}


@pytest.mark.parametrize("confidence", [0, 0.4, 1, 95])
def test_compare_when_the_level_is_none_then_says_so(week, good, confidence):
    with pytest.raises(ParameterError, match="level of a bound"):
        compare(week, good, confidence=confidence)


def test_surely_better_when_some_versions_are_then_names_those_and_the_best_first(
    week, late, rule, good
):
    best = np.where(np.arange(len(late)) % 2 == 0, late, rule)
    others = {"as good": rule, "good": good, "best": best, "worse": 1 - late}
    assert surely_better(week, others, rule) == ("best", "good")
    assert surely_better(week, {}, rule) == ()
    assert surely_better(week, {"silent": np.full(len(late), np.nan)}, rule) == ()


def swapped(one, two, days, generator):
    """Swap two models' answers on whole days, by lot: what luck gives where none is better."""
    numbers = np.unique(days, return_inverse=True)[1]
    swap = generator.integers(0, 2, numbers.max() + 1)[numbers] == 1
    return np.where(swap, two, one), np.where(swap, one, two)


def test_release_when_candidates_are_equally_good_then_at_most_six_in_a_hundred_are_blocked(
    exam, models
):
    answers = [model.probability(exam) for model in models]
    generator, stopped, turns = np.random.default_rng(0), 0, 90
    for turn in range(turns):
        one, two = answers[turn % 3], answers[(turn + 1) % 3]
        verdict = compare(
            exam, *swapped(one, two, exam["date"].to_numpy(), generator), confidence=0.99
        )
        stopped += not verdict.passed
    assert stopped / turns <= 0.06


def with_days_of_their_own(exam, generator, loss, spread, inside=None):
    """Return answers of a champion, and of a candidate that loses so much on average.

    On each day it loses so much less or more; losses and days are in points.
    """
    late = exam["late"].to_numpy()
    where = np.full(len(late), True) if inside is None else inside
    day = np.unique(exam["date"].to_numpy(), return_inverse=True)[1]
    rate = (loss + generator.normal(0, spread, day.max() + 1))[day] / 100
    lot = generator.random(len(late))
    wrong = where & (lot < np.maximum(rate, 0))
    gained = where & (lot < np.maximum(-rate, 0))
    return np.where(gained, 1 - late, late), np.where(wrong, 1 - late, late)


@pytest.mark.parametrize(("part", "loss"), [("overall", MARGIN), ("origin LGA", SLICE_MARGIN)])
def test_release_when_a_candidate_loses_its_margin_by_days_then_it_seldom_passes(exam, part, loss):
    inside = (exam["origin"] == "LGA").to_numpy() if part != "overall" else None
    name = "not worse overall" if part == "overall" else f"not worse for {part}"
    generator, passed, turns = np.random.default_rng(0), 0, 150
    for _ in range(turns):
        champion, candidate = with_days_of_their_own(exam, generator, loss, 1.5, inside)
        passed += name not in failed(compare(exam, candidate, champion))
    assert 0.01 <= passed / turns <= 0.05 + 2 * (0.05 * 0.95 / turns) ** 0.5


def test_release_when_rows_count_instead_of_days_then_the_same_candidate_passes_too_often(
    exam, monkeypatch
):
    def by_row(values, days, confidence):
        return mean_bounds(values, np.arange(len(values)) % 4_000, confidence)

    monkeypatch.setattr(comparison, "mean_bounds", by_row)
    generator, passed, turns = np.random.default_rng(0), 0, 100
    for _ in range(turns):
        champion, candidate = with_days_of_their_own(exam, generator, MARGIN, 1.5)
        passed += "not worse overall" not in failed(compare(exam, candidate, champion))
    assert passed / turns > 0.12


@pytest.fixture(scope="module")
def right(later, models):
    """Which calls are right, April to December: the rule's and three models', by name."""
    late = later["late"].to_numpy() == 1
    calls = {str(i): model.probability(later) >= 0.5 for i, model in enumerate(models)}
    calls["rule"] = baseline(later)
    return {name: (called == late).astype(float) for name, called in calls.items()}


# How much less a bound may cover than promised: about its simulation error, for stretches of one
# year are few. With 0.8 of its width it covers less than that.
SHORT = 0.035


@pytest.fixture(scope="module")
def day(later):
    return (later["date"] - later["date"].min()).dt.days.to_numpy()


@pytest.fixture(scope="module")
def leads(right, day):
    """Two pairs' leads: between models, and over the rule; by day, and the sizes of the days."""
    models = [right["0"] - right["1"], right["1"] - right["2"], right["2"] - right["0"]]
    to_rule = [right[name] - right["rule"] for name in "012"]
    return {
        "models": [cluster_sums(lead, day) for lead in models],
        "rule": [cluster_sums(lead, day) for lead in to_rule],
    }, cluster_sums(np.ones(len(day)), day)


def covered(pairs, sizes, days, width=1.0):
    """Return how often upper and lower bound hold for the stretches on either side, shape (2,)."""
    found = []
    for sums in pairs:
        levels = other_weeks(sums, sizes, days, around=1)
        for first, level in enumerate(levels):
            part = slice(first, first + days)
            bounds = ratio_bounds(sums[part], sizes[part], np.arange(days))
            reach = width * (bounds.high - bounds.mean)
            found.append((bounds.mean + reach >= level, bounds.mean - reach <= level))
    return np.mean(found, axis=0)


def promised(days):
    """Return how often a 95% bound holds for the mean of two other stretches, which has luck, too.

    Days are independent, and normal: the error of the difference is sqrt(1 + 1 / 2) times one's.
    """
    return t.cdf(t.ppf(0.95, days - 1) / 1.5**0.5, days - 1)


@pytest.mark.parametrize("pair", ["models", "rule"])
@pytest.mark.parametrize("days", [7, 14])
def test_bounds_when_days_are_shuffled_then_keep_their_promise(leads, pair, days):
    sizes = leads[1]
    generator = np.random.default_rng(0)
    found = []
    for sums in leads[0][pair]:
        order = generator.permutation(len(sizes))
        found.append(covered([sums[order]], sizes[order], days))
    assert np.mean(found) == pytest.approx(promised(days), abs=0.03)


@pytest.mark.parametrize("days", [7, 14])
def test_bounds_when_two_models_meet_on_real_weeks_then_keep_their_promise(leads, days):
    pairs, sizes = leads[0]["models"], leads[1]
    assert (covered(pairs, sizes, days) >= promised(days) - SHORT).all()
    assert (covered(pairs, sizes, days, width=0.8) < promised(days) - SHORT).all()


@pytest.mark.parametrize("days", [7, 14])
def test_bounds_when_a_model_meets_the_rule_then_keep_it_only_if_spells_are_counted(leads, days):
    pairs, sizes = leads[0]["rule"], leads[1]
    kept = covered(pairs, sizes, days, comparison.SPELLS)
    assert kept == pytest.approx(promised(days), abs=0.05)
    assert (kept >= promised(days) - SHORT).all()
    assert (covered(pairs, sizes, days) < promised(days) - SHORT).all()
    shorter = covered(pairs, sizes, 14, 0.8 * comparison.SPELLS)
    assert (shorter < promised(14)).all() and shorter.min() < promised(14) - SHORT


def test_spells_when_the_rule_is_met_then_are_what_the_year_shows_in_two_ways(right, leads, day):
    sums, sizes = leads[0]["rule"][0], leads[1]
    lead = pd.Series(sums / sizes)
    correlations = [lead.autocorr(lag) for lag in range(1, 8)]
    stated = [0.31, 0.17, 0.16, 0.15, 0.09, 0.05, 0.05]
    assert correlations == pytest.approx(stated, abs=0.01)
    assert (1 + 2 * sum(correlations)) ** 0.5 == pytest.approx(comparison.SPELLS, abs=0.02)
    by_day = ratio_bounds(sums, sizes, np.arange(len(sums))).error
    by_weeks = [ratio_bounds(sums, sizes, np.arange(len(sums)) // days).error for days in (14, 28)]
    assert by_weeks[0] / by_day == pytest.approx(comparison.SPELLS, abs=0.1)
    assert by_weeks[1] / by_day == pytest.approx(2.2, abs=0.1)
    between = [pd.Series(sums / sizes).autocorr(1) for sums in leads[0]["models"]]
    assert between == pytest.approx([-0.01, 0.16, 0.14], abs=0.02)
