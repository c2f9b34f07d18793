"""From a drift alarm towards its cause: since which day, in which slice, and does the model care?

A verdict names features. What one does next takes more: a day narrows down which release it was, a
slice which feed, a broken contract between columns which unit or which join; and a feature without
weight in the model may wait until tomorrow. These are leads and not verdicts: each says what it saw
beside what the calm days show, and promises no rate of false alarms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from mlops_course.data.features import NUMERIC
from mlops_course.drift.profiles import Kind, as_numbers, count, table
from mlops_course.stats.distances import kolmogorov_smirnov, total_variation
from mlops_course.training.evaluation import right_calls
from mlops_course.training.model import DelayModel

CALM_DAYS = 28
MAX_STEPS = 512
MAX_SLICES = 200
MIN_SHARE = 0.02  # of the rows, for a slice
CONCENTRATED = 2.0  # times as far as elsewhere must a feature have moved in a slice
HELD = 0.001  # of the reference's rows may break a contract
TELLING = 0.01  # of rows put together at random must break it: else it says only what ranges say
REACHED = 0.0005  # of the rows must come as near to breaking it as the next constant says
NEAR = 0.01  # standard deviations of the difference
MIN_PAIRS = 1_000
MAX_PAIRS = 50_000  # rows are looked at, evenly spread
BROKEN = 0.01  # of the window's rows
SHUFFLES = 5


@dataclass(frozen=True)
class Change:
    """The day from which on a column is different.

    Attributes
    ----------
    day
        The first day after the change.
    distance
        Between the days before and the days from then on.
    strength, calm
        The distance times the root of ``before * after / (before + after)``, both in days, and the
        largest such figure for any day among the calm ones alone.
    """

    day: date
    distance: float
    strength: float
    calm: float


@dataclass(frozen=True)
class Slice:
    """The rows with one value in another column, in which a feature has moved most.

    Attributes
    ----------
    column, value
        Which rows.
    inside, elsewhere
        How far the feature has moved in them, and in all the others. If there are none of them
        before or none now, the first is how far it has moved altogether.
    """

    column: str
    value: str
    inside: float
    elsewhere: float


@dataclass(frozen=True)
class Contract:
    """Two columns of which one is never larger than the other.

    Attributes
    ----------
    held
        The share of the reference's rows that break it, nearly none.
    broken
        The share of the window's.
    """

    smaller: str
    larger: str
    held: float
    broken: float = 0.0


@dataclass(frozen=True)
class Importance:
    """What a model loses without a feature.

    Attributes
    ----------
    lost
        The share called right, less the same with the feature's values shuffled among the rows.
    deviation
        Standard deviation of the loss from shuffle to shuffle.
    """

    name: str
    lost: float
    deviation: float


def change_day(column: pd.Series, days: np.ndarray, first: date, kind: Kind) -> Change | None:
    """Return the day of a window from which on a column is different, if it stands out.

    It is the split of the days with the largest strength; None if the calm days alone, of which the
    last `CALM_DAYS` count, have a stronger one, or if there is but one day on either side.

    Parameters
    ----------
    column
        The calm rows and the window's.
    days
        The day of each, ``datetime64[D]``, shape (rows,).
    first
        The window's first day; rows before it are calm.

    Source: the strength is the nonparametric CUSUM of Padilla, Yu, Wang and Rinaldo, *Optimal
    nonparametric change point analysis*, Electronic Journal of Statistics 15, 2021, equation 4,
    with days for rows, since rows of a day are alike.
    """
    start = np.datetime64(first, "D")
    every = np.unique(days)
    every = np.concatenate([every[every < start][-CALM_DAYS:], every[every >= start]])
    calm = int(np.sum(every < start))
    if calm < 2 or len(every) - calm < 2:
        return None
    counts = _by_day(column, days, every, kind)
    distance, strength = _splits(counts, kind)
    _, quiet = _splits(counts[:calm], kind)
    best = calm - 1 + int(strength[calm - 1 :].argmax())
    if strength[best] <= quiet.max():
        return None
    day = every[best + 1].astype(date)
    return Change(day, float(distance[best]), float(strength[best]), float(quiet.max()))


def worst_slice(
    reference: pd.DataFrame, window: pd.DataFrame, name: str, kind: Kind, by: Sequence[str]
) -> Slice | None:
    """Return the slice in which a feature has moved most, if elsewhere it has moved far less.

    It is the slice with the largest ``(inside - elsewhere) * sqrt(share of the rows)``: a small one
    lies far off by chance, and those under `MIN_SHARE` do not count. None if in that one it has not
    moved `CONCENTRATED` times as far as elsewhere: then it has moved everywhere, or in places that
    none of these columns tells apart.

    Parameters
    ----------
    by
        The columns whose values are slices; those with more than `MAX_SLICES` are not looked at.
    """
    before, after, size = _steps(reference[name], window[name], kind)
    found: dict[float, Slice] = {}
    for column in by:
        old, new, words = _words(reference[column], window[column])
        if column == name or not 1 < len(words) <= MAX_SLICES:
            continue
        old_counts = _crossed(old, before, len(words), size)
        new_counts = _crossed(new, after, len(words), size)
        whole = float(_apart(new_counts.sum(axis=0), old_counts.sum(axis=0), kind))
        inside = np.nan_to_num(_apart(new_counts, old_counts, kind), nan=whole)
        elsewhere = _apart(
            new_counts.sum(axis=0) - new_counts, old_counts.sum(axis=0) - old_counts, kind
        )
        share = np.maximum(_row_shares(old_counts), _row_shares(new_counts))
        strength = np.nan_to_num((inside - elsewhere) * np.sqrt(share), nan=0.0)
        strength[share < MIN_SHARE] = -np.inf
        best = int(strength.argmax())
        found[float(strength[best])] = Slice(
            column, words[best], float(inside[best]), float(elsewhere[best])
        )
    if not found:
        return None
    best_of_all = found[max(found)]
    return best_of_all if best_of_all.inside > CONCENTRATED * best_of_all.elsewhere else None


def moved_value(reference: pd.Series, window: pd.Series) -> tuple[str, float, float]:
    """Return the category whose share has changed most, and its shares before and now.

    >>> moved_value(pd.Series(["JFK", "LGA"]), pd.Series(["JFK", "JFK"]))
    ('JFK', 0.5, 1.0)
    """
    old, new, words = _words(reference, window)
    before = np.bincount(old[old >= 0], minlength=len(words)) / max(len(reference), 1)
    after = np.bincount(new[new >= 0], minlength=len(words)) / max(len(window), 1)
    place = int(np.abs(after - before).argmax())
    return words[place], float(before[place]), float(after[place])


def learn_contracts(
    reference: pd.DataFrame, names: Sequence[str] = NUMERIC
) -> tuple[Contract, ...]:
    """Return the pairs of columns of which one is hardly ever larger than the other.

    At most `HELD` of the rows may break such a contract. That alone holds of much that is no
    contract, so two things are asked beyond it. Of rows put together at random more than `TELLING`
    must break it: else the columns' ranges explain it. And some rows must come as far as the limit,
    `REACHED`: from January to March no dew point (in degrees) comes near to the humidity (in
    percent), but in September 56% of them lie above, with nothing broken.

    Parameters
    ----------
    names
        Columns of numbers.
    """
    rows = np.linspace(0, len(reference) - 1, min(len(reference), MAX_PAIRS)).astype(int)
    some = reference.iloc[rows]
    numbers = {name: as_numbers(some[name], Kind.NUMBER) for name in names}
    shuffled = np.random.default_rng(0).permutation(len(some))
    found = []
    for smaller, larger in _pairs(names):
        known = _gaps(numbers[smaller], numbers[larger])
        if len(known) < MIN_PAIRS:
            continue
        held = float(np.mean(known < 0))
        by_chance = np.mean(_gaps(numbers[smaller], numbers[larger][shuffled]) < 0)
        reached = np.mean(known <= NEAR * known.std())
        if held <= HELD and by_chance > TELLING and reached > REACHED:
            found.append(Contract(smaller, larger, held))
    return tuple(found)


def broken_contracts(contracts: Iterable[Contract], window: pd.DataFrame) -> tuple[Contract, ...]:
    """Return the contracts that more than `BROKEN` of the window's rows break, the worst first."""
    found = []
    for one in contracts:
        smaller = as_numbers(window[one.smaller], Kind.NUMBER)
        gaps = _gaps(smaller, as_numbers(window[one.larger], Kind.NUMBER))
        broken = float(np.mean(gaps < 0)) if len(gaps) else 0.0
        if broken > BROKEN:
            found.append(Contract(one.smaller, one.larger, one.held, broken))
    return tuple(sorted(found, key=lambda one: -one.broken))


def permutation_importance(
    model: DelayModel, flights: pd.DataFrame, names: Sequence[str], seed: int = 0
) -> tuple[Importance, ...]:
    """Return what the model loses without each feature, the dearest first.

    Columns that hang together share their weight: shuffled one at a time, each looks dispensable.

    Parameters
    ----------
    flights
        Labelled flights from before the drift, with all that the model sees.
    names
        The features to shuffle.

    Source: Breiman, *Random forests*, Machine Learning 45, 2001, section 10; with calls for trees,
    and the rows as they are for those out of the bag.
    """
    late = flights["late"].to_numpy(dtype="float64")
    right = np.nanmean(right_calls(model.probability(flights), late))
    generator = np.random.default_rng(seed)
    found = []
    for name in names:
        lost = []
        for _ in range(SHUFFLES):
            order = generator.permutation(len(flights))
            shuffled = flights.assign(**{name: flights[name].array[order]})
            lost.append(right - np.nanmean(right_calls(model.probability(shuffled), late)))
        found.append(Importance(name, float(np.mean(lost)), float(np.std(lost, ddof=1))))
    return tuple(sorted(found, key=lambda one: -one.lost))


def _by_day(column: pd.Series, days: np.ndarray, every: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the counts of each day, shape (days, 1 + values), the missing first."""
    wanted = np.isin(days, every)
    place = np.searchsorted(every, days[wanted])
    parts = column[wanted].groupby(place)
    return table([count(part, kind) for _, part in parts])


def _splits(counts: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and strength of the split after each day but the last."""
    before = counts.cumsum(axis=0)[:-1]
    distance = _apart(counts.sum(axis=0) - before, before, kind)
    days = np.arange(1, len(counts))
    return distance, distance * np.sqrt(days * (len(counts) - days) / len(counts))


def _apart(counts: np.ndarray, others: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the distance of the values, or of the share missing if that is larger."""
    distance = total_variation if kind is Kind.CATEGORY else kolmogorov_smirnov
    of_values = distance(counts[..., 1:], others[..., 1:])
    return np.fmax(of_values, total_variation(_is_there(counts), _is_there(others)))


def _is_there(counts: np.ndarray) -> np.ndarray:
    return np.stack([counts[..., 0], counts[..., 1:].sum(axis=-1)], axis=-1)


def _steps(old: pd.Series, new: pd.Series, kind: Kind) -> tuple[np.ndarray, np.ndarray, int]:
    """Return a feature as steps in ascending order, at most `MAX_STEPS`; 0 stands for missing."""
    if kind is Kind.CATEGORY:
        before, after, words = _words(old, new)
        return before + 1, after + 1, len(words) + 1
    values = np.concatenate([as_numbers(old, kind), as_numbers(new, kind)])
    steps = np.unique(values[~np.isnan(values)])
    if len(steps) > MAX_STEPS:
        steps = steps[np.linspace(0, len(steps) - 1, MAX_STEPS).astype(int)]
    code = np.where(np.isnan(values), 0, 1 + np.searchsorted(steps, values))
    return code[: len(old)], code[len(old) :], len(steps) + 1


def _words(old: pd.Series, new: pd.Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return two columns as numbers of their joint values, -1 for missing, and those values."""
    both = pd.concat([old.astype("object"), new.astype("object")], ignore_index=True)
    code, values = pd.factorize(both.map(str, na_action="ignore"))
    return code[: len(old)], code[len(old) :], [str(value) for value in values]


def _crossed(slices: np.ndarray, steps: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return how often each step occurs in each slice, shape (rows, columns)."""
    known = slices >= 0
    flat = slices[known] * columns + steps[known]
    return np.bincount(flat, minlength=rows * columns).reshape(rows, columns)


def _row_shares(counts: np.ndarray) -> np.ndarray:
    return counts.sum(axis=1) / max(counts.sum(), 1)


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for smaller in names:
        found += [(smaller, larger) for larger in names if larger != smaller]
    return found


def _gaps(smaller: np.ndarray, larger: np.ndarray) -> np.ndarray:
    """Return how much larger the second is, where both are known and finite."""
    known = np.isfinite(smaller) & np.isfinite(larger)
    return larger[known] - smaller[known]
