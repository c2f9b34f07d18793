"""Windows of production joined with their late labels, and the rules that alert on them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mlops_course.errors import ParameterError
from mlops_course.events import AlertRaised, Notified, WeekScored
from mlops_course.flights import labelled
from mlops_course.training import baseline

CONFIDENCE = 0.95
CHANNEL = "#push-back-oncall"
ACCURACY_RULE = "accuracy below threshold"


@dataclass(frozen=True)
class Quality:
    """How well a week of predictions did, once the labels are in; shares from 0 to 1.

    Attributes
    ----------
    rows, labelled
        Flights scored, and those of them whose arrival is known.
    accuracy, upper
        Share called right, and its one-sided upper 95% bound.
    baseline_accuracy
        The same of the rule ``dep_delay > 15``.
    predicted_late, observed_late
        Share called late, and share that was.
    confidence
        Mean probability the model gave to its own calls: what it believes its accuracy to be.
    """

    rows: int
    labelled: int
    accuracy: float
    upper: float
    baseline_accuracy: float
    predicted_late: float
    observed_late: float
    confidence: float


@dataclass(frozen=True)
class AccuracyRule:
    """Alert when a week's accuracy lies below ``threshold`` beyond chance."""

    threshold: float

    def __post_init__(self) -> None:
        number = isinstance(self.threshold, int | float)
        if not number or not 0.5 <= self.threshold <= 0.999:
            raise ParameterError(
                f"The alert threshold is {self.threshold!r}.",
                "It is an accuracy between 0.5 and 0.999.",
                "The course uses 0.90.",
            )

    def fires(self, quality: Quality) -> bool:
        """Return whether even the upper bound of the week's accuracy is below the threshold."""
        return quality.upper < self.threshold


def measure(flights: pd.DataFrame, probability: np.ndarray) -> Quality:
    """Join predictions with the labels that arrived, and measure them.

    Parameters
    ----------
    flights
        The week's flights with ``late`` (NaN where the flight never got a label).
    probability
        Predicted probability of late, shape (rows,); NaN where the service gave none.
    """
    answered = ~np.isnan(probability)
    called = probability >= 0.5
    judged = answered & flights["late"].notna().to_numpy()
    late = flights["late"].to_numpy() == 1
    right = (called == late)[judged]
    return Quality(
        rows=len(flights),
        labelled=int(judged.sum()),
        accuracy=float(right.mean()) if len(right) else float("nan"),
        upper=upper_bound(int(right.sum()), len(right)),
        baseline_accuracy=float((baseline(flights) == late)[judged].mean()),
        predicted_late=float(called[answered].mean()),
        observed_late=float(labelled(flights)["late"].mean()),
        confidence=float(np.maximum(probability, 1 - probability)[answered].mean()),
    )


def alert_on(week: WeekScored, threshold: float) -> AlertRaised:
    """Return the alert for a week on which the accuracy rule fired."""
    message = (
        f"Accuracy {week.accuracy:.3f} in the week of {week.week}: at most "
        f"{week.upper:.3f} with {CONFIDENCE:.0%} confidence, below {threshold:.2f}."
    )
    return AlertRaised(week.week, ACCURACY_RULE, week.accuracy, threshold, message)


def notice(alert: AlertRaised, week: WeekScored) -> Notified:
    """Return what the team would be sent: the alert, and where to look first."""
    payload = {
        "channel": CHANNEL,
        "text": alert.message,
        "model_version": week.model_version,
        "inputs_moved": list(week.drifted[:3]),
        "data_checks_failed": list(week.findings[:3]),
        "next": "Look at what moved: a broken feed is repaired, not retrained.",
    }
    return Notified(week.week, CHANNEL, payload)


def upper_bound(successes: int, trials: int) -> float:
    """Return the one-sided upper 95% bound of a proportion; 1.0 when nothing was observed.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*,
    Journal of the American Statistical Association 22, 1927.
    """
    if trials == 0:
        return 1.0
    interval = binomtest(successes, trials, alternative="less").proportion_ci(CONFIDENCE, "wilson")
    return float(interval.high)
