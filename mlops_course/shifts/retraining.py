"""Training a candidate in a drill, and judging it on the newest labelled days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from mlops_course.core.errors import DataError
from mlops_course.data.features import FEATURES
from mlops_course.shifts.prices import HELD_OUT_DAYS
from mlops_course.shifts.systems import Served
from mlops_course.training.evaluation import baseline, right_calls
from mlops_course.training.trainer import TrainingResult, train

MIN_LABELLED = 3_000
KEPT = ["date", *FEATURES, "arr_delay", "late"]


@dataclass(frozen=True)
class Candidate:
    """A model that somebody trained: the result, and the flights it learned from."""

    result: TrainingResult
    rows: pd.DataFrame


@dataclass(frozen=True)
class Judgement:
    """Whether a candidate may serve, and why, in a sentence."""

    passed: bool
    seen: str


def known_flights(served: Sequence[Served], today: date) -> pd.DataFrame:
    """Return the delivered flights whose labels have arrived before a day."""
    flights = pd.concat([one.flights for one in served], ignore_index=True)
    arrived = (flights["label_at"] < pd.Timestamp(today)) & flights["late"].notna()
    return flights[arrived]


def trained(served: Sequence[Served], today: date, weeks: int) -> Candidate:
    """Train on the last so many weeks, without the newest labelled days.

    Raises
    ------
    DataError
        If fewer than 3,000 of their flights are labelled.
    """
    until = today - timedelta(days=HELD_OUT_DAYS + 1)
    first = today - timedelta(weeks=weeks)
    days = [one for one in served if first <= one.day < until]
    known = known_flights(days, today)[KEPT] if days else pd.DataFrame()
    if len(known) < MIN_LABELLED:
        raise DataError(
            f"In these weeks the labels of {len(known):,} flights are known.",
            f"It takes {MIN_LABELLED:,}, besides those of the newest {HELD_OUT_DAYS} days.",
            "Name more weeks, or wait for labels.",
        )
    return Candidate(train(known), known)


def judged(candidate: Candidate, days: Sequence[Served], today: date) -> Judgement:
    """Hold a candidate against what was answered on some days, as far as labels are in."""
    flights = known_flights(days, today) if days else pd.DataFrame()
    flights = flights[flights["probability"].notna()] if len(flights) else flights
    if flights.empty:
        return Judgement(False, "No labelled flights to judge it on.")
    late = flights["late"].to_numpy(dtype="float64")
    probability = candidate.result.model.probability(flights)
    own = right_calls(probability, late).mean()
    theirs = right_calls(flights["probability"].to_numpy(dtype="float64"), late).mean()
    rule = float((baseline(flights) == (late == 1)).mean())
    seen = (
        f"On {len(flights):,} flights it calls {own:.1%} right, what served {theirs:.1%}, "
        f"the rule {rule:.1%}."
    )
    return Judgement(bool(own >= theirs and own >= rule), seen)
