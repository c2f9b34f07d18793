"""How often detectors of drift and of harm alarm: part of `mlops-course bench --statistics`.

Calm streams come first: independent errors, then the real year's, where the errors of a day and of
a week go together. Then the same with something broken. `bench_statistics` prints it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from counting import CHAMPION, Count, RealYear, blocks_of, together

from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift.calm_weeks import KINDS, Group
from mlops_course.drift.profiles import profile
from mlops_course.drift.textbook import limits_crossed
from mlops_course.monitoring.estimation import BAND, estimate_accuracy
from mlops_course.stats.adwin import Adwin
from mlops_course.stats.betting import ALPHA, wealth
from mlops_course.stats.calibration import fit_calibration
from mlops_course.stats.clustered import cluster_sums
from mlops_course.stats.confidence_sequences import MIN_UNITS, half_width
from mlops_course.stats.cusum import Cusum
from mlops_course.stats.page_hinkley import PageHinkley
from mlops_course.training.evaluation import right_calls
from mlops_course.training.trainer import TrainingConfig, train

APRIL = "2013-04-01"
OBJECTIVE = 0.1
WINDOWS = (200, 1_000, 6_000)
DRAWS = 100
STREAMS = {1_000: 500, 10_000: 100}
YEARS = 200
A_YEAR = 364
SEASON = 273  # days from April to December
BLOCKS = (1, 7, 21)
WEEK_DAYS = 7
CHANGED_AFTER = 28
SOON = 14
BETS = 2_000
WITHIN = (2, 4, 8)
BETS_BY_FLIGHT = 100
STAKE_OF_A_FLIGHT = 0.005
LONG_RUN_DEVIATION = 2.2


@dataclass(frozen=True)
class Days:
    """The real errors from April on, by day.

    Attributes
    ----------
    errors
        For each flight, in order of time, 1.0 where it was called wrong; by incident.
    shares
        The share of each day's flights that was called wrong, by incident; shape (days,).
    number
        Of which day each flight is, from 0.
    """

    errors: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    number: np.ndarray

    @property
    def calm(self) -> np.ndarray:
        """The shares of the year as it was."""
        return self.shares["none"]


def sections(year: RealYear) -> dict[str, Iterator[Count]]:
    """Return the sections by their titles."""
    days = days_of(year)
    return {
        "Textbook limits of distances, nothing broken": textbook_limits(year),
        "Stream detectors, nothing broken": calm_streams(days),
        "Stream detectors by day: alarms a year": alarms_a_year(days),
        "Stream detectors by day, broken from one day to the next": broken_days(days),
        "Bets on the errors": bets(days),
        "The accuracy estimated without labels": estimates(year),
    }


def days_of(year: RealYear) -> Days:
    """Return the champion's errors, with nothing broken and with each of two incidents."""
    past = year.everything[year.everything["date"] < "2013-03-18"]
    model = train(past, TrainingConfig()).model
    flights = year.flights[year.flights["date"] >= APRIL]
    number = np.unique(flights["date"].to_numpy(), return_inverse=True)[1]
    sizes = np.bincount(number)
    errors = {}
    for name in ("none", "clock", "padding"):
        changed = INCIDENTS[name].apply(flights)
        right = right_calls(model.probability(changed), changed["late"].to_numpy())
        errors[name] = 1 - right
    shares = {name: cluster_sums(wrong, number) / sizes for name, wrong in errors.items()}
    return Days(errors, shares, number)


# ---- distances with the limits that one finds in books and packages


def textbook_limits(year: RealYear) -> Iterator[Count]:
    """Whole calm weeks, each against the others, and windows drawn from all of them by lot."""
    flights = year.everything
    flights = flights[flights["date"].between("2013-01-07", "2013-03-31")]
    number = (flights["date"] - pd.Timestamp("2013-01-07")).dt.days // WEEK_DAYS
    weeks = [week for _, week in flights.groupby(number)]
    counted = [profile(week, KINDS) for week in weeks]
    whole = [
        limits_crossed(Group(KINDS, (*counted[:turn], *counted[turn + 1 :])), counted[turn])
        for turn in range(len(counted))
    ]
    for name, crossed in pd.DataFrame(whole).sum().items():
        yield Count(f"{name}: whole calm weeks, alarm", crossed, len(whole), "")
    for rows in WINDOWS:
        drawn = [by_lot(flights, weeks, rows, turn) for turn in range(DRAWS)]
        for name, crossed in pd.DataFrame(drawn).sum().items():
            yield Count(f"{name}: {rows:,} flights drawn by lot, alarm", crossed, DRAWS, "")


def by_lot(
    flights: pd.DataFrame, weeks: list[pd.DataFrame], rows: int, seed: int
) -> Mapping[str, bool]:
    """Return what alarms in some flights taken out of all weeks, against the rest of these."""
    lot = flights.sample(rows, random_state=seed)
    rest = [profile(week.drop(lot.index, errors="ignore"), KINDS) for week in weeks]
    return limits_crossed(Group(KINDS, tuple(rest)), profile(lot, KINDS))


# ---- detectors that take one value at a time


def textbook(target: float, deviation: float) -> dict[str, Callable[[], object]]:
    """Return makers of detectors with the settings that one finds in books and packages."""
    return {
        "CUSUM (.5, 5)": lambda: Cusum(target, deviation),
        "Page-Hinkley (river's defaults)": lambda: PageHinkley(two_sided=True),
        "ADWIN (river's defaults)": lambda: Adwin(),
    }


def alarms(detector: object, values: np.ndarray) -> list[int]:
    """Return the numbers of the values on which a detector alarms."""
    found = []
    for number, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
    return found


def calm_streams(days: Days) -> Iterator[Count]:
    """Textbook settings, flight by flight."""
    generator = np.random.default_rng(0)
    for size, count in STREAMS.items():
        streams = (generator.random((count, size)) < OBJECTIVE).astype(float)
        for name, make in textbook(OBJECTIVE, 0.3).items():
            rung = sum(bool(alarms(make(), stream)) for stream in streams)
            yield Count(f"{name}: {size:,} independent errors at 10%, alarm", rung, count, "")
    wrong = days.errors["none"]
    shuffled = generator.permutation(wrong)
    week = days.number // WEEK_DAYS
    weeks = range(len(days.calm) // WEEK_DAYS)
    for name, make in textbook(wrong.mean(), wrong.std()).items():
        rung = [bool(alarms(make(), wrong[week == number])) for number in weeks]
        what = f"{name}: real flights of one week, its own detector, alarm"
        yield together(what, np.array(rung), np.array(weeks) // 4, "")
        rung = [bool(alarms(make(), shuffled[week == number])) for number in weeks]
        yield Count(f"{name}: the same flights in random order", sum(rung), len(weeks), "")


def by_day(days: Days) -> dict[str, Callable[[], object]]:
    """Return detectors of daily shares: by the textbook, and set to ring about once a year."""
    target = float(days.calm.mean())
    deviation = float(days.calm.std())
    return {
        "CUSUM (.5, 5)": lambda: Cusum(target, deviation),
        "CUSUM (.5, 10)": lambda: Cusum(target, deviation, limit=10),
        "CUSUM (.5, 13)": lambda: Cusum(target, deviation, limit=13),
        "Page-Hinkley (threshold 50)": lambda: PageHinkley(),
        "Page-Hinkley (threshold 1)": lambda: PageHinkley(threshold=1),
        "Page-Hinkley (threshold 1.3)": lambda: PageHinkley(threshold=1.3),
        "ADWIN (.002)": lambda: Adwin(clock=1),
        "ADWIN (1)": lambda: Adwin(delta=1, clock=1),
    }


def alarms_a_year(days: Days) -> Iterator[Count]:
    """Alarms on daily shares: of the real nine months, and of years made of their days."""
    for name, make in by_day(days).items():
        rung = len(alarms(make(), days.calm))
        yield Count(f"{name}: alarms in the real days", rung, len(days.calm), "")
        for block in BLOCKS:
            years = days.calm[blocks_drawn(len(days.calm), block, YEARS, A_YEAR)]
            rung = [len(alarms(make(), year)) for year in years]
            error = float(np.std(rung)) / sqrt(YEARS)
            what = f"{name}: alarms in years of {block} days in a row"
            yield Count(what, sum(rung), YEARS, "100%: one a year", error)


def broken_days(days: Days) -> Iterator[Count]:
    """Four real weeks, and then an incident: how soon a detector of daily shares rings."""
    starts = range(0, len(days.calm) - CHANGED_AFTER - 2 * WEEK_DAYS, WEEK_DAYS)
    for incident in ("clock", "padding"):
        for name, make in by_day(days).items():
            soon = []
            for start in starts:
                change = start + CHANGED_AFTER
                before = days.calm[start:change]
                after = days.shares[incident][change : change + SOON]
                rung = alarms(make(), np.concatenate([before, after]))
                soon.append(any(number >= CHANGED_AFTER for number in rung))
            what = f"{name}: {incident} seen within {SOON} days"
            yield together(what, np.array(soon), np.array(starts) // 28, "")


def blocks_drawn(days: int, block: int, turns: int, length: int) -> np.ndarray:
    """Draw years as blocks of days in a row; the last day is followed by the first.

    Returns
    -------
    the numbers of the days, shape (turns, length).
    """
    generator = np.random.default_rng(block)
    starts = generator.integers(0, days, size=(turns, -(-length // block)))
    drawn = (starts[:, :, None] + np.arange(block)) % days
    return drawn.reshape(turns, -1)[:, :length]


# ---- bets


def bets(days: Days) -> Iterator[Count]:
    """Bets for nine months on errors of exactly 10%, and bets begun when the clock was switched."""
    exact = days.calm + (OBJECTIVE - days.calm.mean())
    for block in BLOCKS[1:]:
        drawn = blocks_drawn(len(exact), block, BETS, SEASON)
        name = f"true errors 10%, days in blocks of {block}"
        yield by_flight(days, drawn[:BETS_BY_FLIGHT], name)
        over = bound_crossed(exact[drawn])
        yield Count(f"{name}: by day, normal bound, sd x 2.2", over, BETS, "5%")
        for what, null, stake, length in PLANS:
            grown = wealth(in_units(exact[drawn], length), null, stake)
            yield Count(f"{name}: {what}", won(grown).sum(), BETS, "5%")
    shares = days.shares["clock"]
    starts = range(0, len(shares) - max(WITHIN) * WEEK_DAYS, WEEK_DAYS)
    for what, null, stake, length in PLANS:
        for weeks in WITHIN:
            part = np.array([shares[n : n + weeks * WEEK_DAYS] for n in starts])
            seen = won(wealth(in_units(part, length), null, stake))
            line = f"clock, real days, {what}: seen within {weeks} weeks"
            yield together(line, seen, np.array(starts) // 28, "")


# What is bet on: the line's name, the null, the stake and the days of one value.
PLANS = (
    ("by day, null .10, stake .5", 0.10, 0.5, 1),
    ("by day, null .12, stake .5", 0.12, 0.5, 1),
    ("by day, null .13, stake .5", 0.13, 0.5, 1),
    ("by week, null .10, stake .5", 0.10, 0.5, 7),
    ("by week, null .10, stake 1", 0.10, 1.0, 7),
    ("by week, null .12, stake 1", 0.12, 1.0, 7),
    ("by week, null .13, stake 1", 0.13, 1.0, 7),
)


def by_flight(days: Days, drawn: np.ndarray, name: str) -> Count:
    """Count bets on single flights of the drawn days, against the mean of all flights."""
    wrong = days.errors["none"]
    flights_of = np.split(wrong, np.cumsum(np.bincount(days.number))[:-1])
    over = 0
    for turn in drawn:
        stream = np.concatenate([flights_of[day] for day in turn])
        over += bool(won(wealth(stream, wrong.mean(), STAKE_OF_A_FLIGHT)))
    return Count(f"{name}: by flight, stake .005", over, len(drawn), "5%, broken")


def in_units(shares: np.ndarray, length: int) -> np.ndarray:
    """Return the means of so many days in a row, shape (turns, units)."""
    whole = shares[:, : shares.shape[1] // length * length]
    return whole.reshape(len(shares), -1, length).mean(axis=2)


def won(grown: np.ndarray) -> np.ndarray:
    """Return whether a bet ever was worth 1 / alpha."""
    return (grown >= 1 / ALPHA).any(axis=-1)


def bound_crossed(shares: np.ndarray) -> int:
    """Count the years in which a confidence sequence by day leaves 10%, with a long-run sd."""
    looks = np.arange(1, shares.shape[1] + 1)
    spread = LONG_RUN_DEVIATION * float(shares.std())
    reach = np.array([half_width(n, spread, planned=SEASON / 2) for n in looks])
    above = np.cumsum(shares, axis=1) / looks - reach > OBJECTIVE
    return int(above[:, MIN_UNITS - 1 :].any(axis=1).sum())


# ---- the estimate without labels


def estimates(year: RealYear) -> Iterator[Count]:
    """Weeks whose accuracy lies in the band around its estimate, calibrated on the fortnight."""
    for name, probability in year.probability.items():
        yield within_band(year.flights, probability, f"{name}, nothing broken")
    past = year.everything[year.everything["date"] < "2013-03-18"]
    model = train(past, TrainingConfig()).model
    later = (year.flights["date"] >= APRIL).to_numpy()
    for name in ("dead-weather", "celsius", "timezone", "clock", "hours", "padding"):
        changed = INCIDENTS[name].apply(year.flights)
        probability = np.where(later, model.probability(changed), year.probability[CHAMPION])
        late = np.where(later, changed["late"], year.flights["late"])
        yield within_band(year.flights.assign(late=late), probability, name)


def within_band(flights: pd.DataFrame, probability: np.ndarray, name: str) -> Count:
    """Count the weeks from April whose accuracy is no farther from its estimate than the band."""
    scored = flights.assign(probability=probability)
    scored["right"] = right_calls(probability, scored["late"].to_numpy())
    held_out = scored[scored["date"] < APRIL]
    calibration = fit_calibration(held_out["probability"].to_numpy(), held_out["late"].to_numpy())
    later = scored[scored["date"] >= APRIL]
    number = (later["date"] - pd.Timestamp(APRIL)).dt.days // WEEK_DAYS
    first = []
    apart = []
    for _, week in later[number < SEASON // WEEK_DAYS].groupby(number):
        first.append(week["date"].iloc[0])
        apart.append(estimate_accuracy(week, calibration).accuracy - week["right"].mean())
    block = blocks_of(np.array(first, dtype="datetime64[D]"))
    inside = np.abs(apart) <= BAND
    line = f"{name}: within 4 points (on average {np.mean(np.abs(apart)):.4f} off)"
    return together(line, inside, block, "")
