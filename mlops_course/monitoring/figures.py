"""What is watched of a window, each figure by its name: inputs, answers, service, labels, cost.

An alert rule names a figure and a limit. NaN stands for *cannot tell*, which is no good news: a
figure of its own says why (`labelled_share`, `unanswered_share`, `volume`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, nan

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import CATEGORICAL, NUMERIC, Vocabulary
from mlops_course.data.quality import RANGES
from mlops_course.monitoring.windows import Window
from mlops_course.serving.routing import REFUSED
from mlops_course.training.evaluation import right_calls
from mlops_course.training.model import called_late

SLOW_QUANTILE = 0.99
A_THOUSAND = 1_000
LABELLED = "labelled"


@dataclass(frozen=True)
class Terms:
    """What a team has agreed on, and without which some figures mean nothing.

    Attributes
    ----------
    objective
        The share of flights that are to be called right.
    missed_minutes
        What a late flight costs that nobody was warned of, in minutes of somebody's waiting.
    false_alarm_minutes
        What a flight costs that was called late and was not.
    vocabulary
        The categories that the model knows; None where nobody knows them.
    """

    objective: float = 0.90
    missed_minutes: float = 30.0
    false_alarm_minutes: float = 10.0
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        """Refuse terms that nobody can keep."""
        objective = _is_number(self.objective) and 0.5 <= self.objective <= 0.999
        costs = (self.missed_minutes, self.false_alarm_minutes)
        if not objective or not all(_is_number(cost) and cost >= 0 for cost in costs):
            raise ParameterError(
                f"The terms are {self.objective!r}, {costs[0]!r} and {costs[1]!r}.",
                "The objective is an accuracy between 0.5 and 0.999, costs are minutes from 0 on.",
                "The course uses 0.90, 30 and 10.",
            )

    @property
    def budget(self) -> float:
        """The share of flights that may be called wrong."""
        return 1 - self.objective


@dataclass(frozen=True)
class Figure:
    """Something that can be watched.

    Attributes
    ----------
    name, meaning
        Its name in a rule, and what it says.
    of
        What gives its value for a window; NaN where it cannot be told.
    sample
        What it rests on, and how many of them the window has: a name of `SAMPLES`.
    low, high
        The values that it can take; for the burn rate they depend on the objective, see `range_of`.
    """

    name: str
    meaning: str
    of: Callable[[Window, Terms], float]
    sample: str = "flights"
    low: float = 0.0
    high: float = 1.0

    @property
    def needs_labels(self) -> bool:
        """Whether it takes labels, and is therefore late."""
        return self.sample == LABELLED


SAMPLES: Mapping[str, Callable[[Window], int]] = {
    "flights": lambda window: len(window.flights),
    "answered": lambda window: len(window.answered),
    LABELLED: lambda window: window.quality.labelled,
    "requests": lambda window: len(window.requests),
}


def measured(window: Window, terms: Terms) -> dict[str, float]:
    """Return every figure of a window by its name."""
    return {name: figure.of(window, terms) for name, figure in FIGURES.items()}


def range_of(figure: Figure, terms: Terms) -> tuple[float, float]:
    """Return the least and the greatest value that a figure can take.

    The burn rate is the share called wrong over the budget, so it ends at one over the budget: at
    an objective of 90% at 10, whatever happens.

    >>> range_of(FIGURES["burn_rate"], Terms(objective=0.9))
    (0.0, 10.0)
    """
    if figure.name.startswith("burn_rate"):
        return 0.0, round(1 / terms.budget, 9)
    return figure.low, figure.high


def _volume(window: Window, _: Terms) -> float:
    return len(window.flights) / window.usual_flights if window.usual_flights else nan


def _unanswered(window: Window, _: Terms) -> float:
    """Return the share without an answer; all of nothing is unanswered."""
    quality = window.quality
    return quality.unanswered / quality.rows if quality.rows else 1.0


def _refused(window: Window, _: Terms) -> float:
    return _mean(window.requests["role"] == REFUSED)


def _failed(window: Window, _: Terms) -> float:
    asked = window.requests[window.requests["role"] != REFUSED]
    return _mean(asked["failure"] != "")


def _slow(window: Window, _: Terms) -> float:
    asked = window.requests[window.requests["role"] != REFUSED]
    return float(asked["ms"].quantile(SLOW_QUANTILE)) if len(asked) else nan


def _missing(window: Window, _: Terms) -> float:
    return _largest(window.answered[list(NUMERIC)].isna().mean())


def _out_of_range(window: Window, _: Terms) -> float:
    values = window.answered[list(RANGES)].to_numpy(dtype="float64")
    low, high = np.array(list(RANGES.values())).T
    outside = (values < low) | (values > high)
    return float(outside.mean(axis=0).max()) if len(outside) else nan


def _unseen(window: Window, terms: Terms) -> float:
    if terms.vocabulary is None:
        return nan
    known = terms.vocabulary
    shares = [_mean(~window.answered[name].isin(list(known[name]))) for name in CATEGORICAL]
    return _largest(pd.Series(shares))


def _drifted(window: Window, _: Terms) -> float:
    return max(window.drift_scores.values(), default=nan)


def _called_late(window: Window, _: Terms) -> float:
    return window.quality.predicted_late


def _confidence(window: Window, _: Terms) -> float:
    return window.quality.confidence


def _unsure(window: Window, _: Terms) -> float:
    probability = window.answered["probability"].to_numpy(dtype="float64")
    return _mean((probability >= 0.25) & (probability <= 0.75))


def _labelled(window: Window, _: Terms) -> float:
    quality = window.quality
    return quality.labelled / quality.answered if quality.answered else nan


def _label_delay(window: Window, _: Terms) -> float:
    """Return the median hours from a flight's day to its label."""
    delay = window.flights["label_at"] - window.flights["date"]
    return float(delay.median() / pd.Timedelta(hours=1)) if delay.notna().any() else nan


def _accuracy(window: Window, _: Terms) -> float:
    return window.quality.accuracy


def _at_most(window: Window, _: Terms) -> float:
    return window.quality.upper


def _lead(window: Window, _: Terms) -> float:
    return window.quality.accuracy - window.quality.baseline_accuracy


def _burn(window: Window, terms: Terms) -> float:
    return (1 - window.quality.accuracy) / terms.budget


def _burn_at_least(window: Window, terms: Terms) -> float:
    return (1 - window.quality.upper) / terms.budget


def _cost(window: Window, terms: Terms) -> float:
    """Return the minutes of waiting that wrong calls cost, for a thousand labelled flights."""
    flights = window.flights
    probability = flights["probability"].to_numpy(dtype="float64")
    late = flights["late"].to_numpy(dtype="float64")
    judged = ~np.isnan(right_calls(probability, late))
    if not judged.any():
        return nan
    called = called_late(probability[judged])
    was = late[judged] == 1
    missed = float((was & ~called).mean())
    false = float((called & ~was).mean())
    return A_THOUSAND * (missed * terms.missed_minutes + false * terms.false_alarm_minutes)


def _mean(values: pd.Series | np.ndarray) -> float:
    return float(values.mean()) if len(values) else nan


def _largest(values: pd.Series) -> float:
    return float(values.max())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CATALOGUE = (
    Figure("volume", "flights announced, over what is usual", _volume, high=inf),
    Figure("unanswered_share", "share of flights without an answer", _unanswered),
    Figure("refused_share", "share of requests refused", _refused, "requests"),
    Figure("failed_share", "share of requests on which the model failed", _failed, "requests"),
    Figure("slow_ms", "milliseconds of the model, 99th percentile", _slow, "requests", high=inf),
    Figure("missing_share", "largest share of a column that is missing", _missing, "answered"),
    Figure("out_of_range_share", "largest share outside its range", _out_of_range, "answered"),
    Figure("unseen_share", "largest share of unknown categories", _unseen, "answered"),
    Figure("drift_score", "how strange the strangest input is", _drifted, "answered", high=inf),
    Figure("called_late", "share of flights called late", _called_late, "answered"),
    Figure("confidence", "mean probability of the calls made", _confidence, "answered", 0.5),
    Figure("unsure_share", "share with a probability from 25 to 75%", _unsure, "answered"),
    Figure("labelled_share", "share of answers whose label has arrived", _labelled, "answered"),
    Figure("label_delay_hours", "median hours to a label", _label_delay, LABELLED, high=inf),
    Figure("accuracy", "share called right", _accuracy, LABELLED),
    Figure("accuracy_at_most", "upper 95% bound of the accuracy, by days", _at_most, LABELLED),
    Figure("lead_over_rule", "accuracy less that of dep_delay > 15", _lead, LABELLED, -1.0),
    Figure("burn_rate", "share called wrong, over the budget", _burn, LABELLED),
    Figure("burn_rate_at_least", "lower 95% bound of the burn rate", _burn_at_least, LABELLED),
    Figure(
        "cost_minutes", "minutes lost by wrong calls a 1,000 flights", _cost, LABELLED, high=inf
    ),
)
FIGURES: Mapping[str, Figure] = {figure.name: figure for figure in _CATALOGUE}
