"""Alert rules: what a window must show for somebody to be woken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlops_course.core.errors import ParameterError
from mlops_course.monitoring.alerts import ACCURACY_RULE, UNANSWERED_RULE, Alert
from mlops_course.monitoring.performance import Quality
from mlops_course.stats.clustered import CONFIDENCE

MAX_UNANSWERED_SHARE = 0.01


class Rule(Protocol):
    """Anything that looks at a window of production and may alert."""

    def check(self, quality: Quality, window: str) -> Alert | None:
        """Return an alert on the window, or None.

        Parameters
        ----------
        window
            Which window it is, as the message is to say it: ``the week of 2013-09-02``.
        """


@dataclass(frozen=True)
class AccuracyRule:
    """Alert when a window's accuracy lies below ``threshold`` beyond the luck of days and weeks.

    Measured on each seven days in a row from April to December 2013, with nothing broken and a
    threshold half a point below the level of the weeks around: it fires in 4.8%, with a simulation
    error of 2 points; at a threshold of 0.90 in 3 of the 39 weeks, whose level together is 0.8995.
    Where the window cannot tell, with few days or labels, it keeps quiet.
    """

    threshold: float

    def __post_init__(self) -> None:
        """Refuse a threshold that is no accuracy."""
        number = isinstance(self.threshold, int | float)
        if not number or not 0.5 <= self.threshold <= 0.999:
            raise ParameterError(
                f"The alert threshold is {self.threshold!r}.",
                "It is an accuracy between 0.5 and 0.999.",
                "The course uses 0.90.",
            )

    def check(self, quality: Quality, window: str) -> Alert | None:
        """Return an alert if even the upper bound of the accuracy is below the threshold."""
        if not quality.upper < self.threshold:
            return None
        message = (
            f"Accuracy {quality.accuracy:.3f} in {window}: at most {quality.upper:.3f} "
            f"(one-sided {CONFIDENCE:.0%}, by {quality.days} days), below {self.threshold:.2f}."
        )
        return Alert(ACCURACY_RULE, quality.accuracy, self.threshold, message)


@dataclass(frozen=True)
class UnansweredRule:
    """Alert when more than a share of the flights that were to be scored has no answer.

    It needs no labels, and it is the only rule that sees a window about which nothing is known.
    """

    max_share: float = MAX_UNANSWERED_SHARE

    def check(self, quality: Quality, window: str) -> Alert | None:
        """Return an alert if too many flights were left unanswered."""
        if quality.rows == 0:
            message = f"There was no flight to answer in {window}: has the feed ended?"
            return Alert(UNANSWERED_RULE, 1.0, self.max_share, message)
        share = quality.unanswered / quality.rows
        if share <= self.max_share:
            return None
        message = (
            f"{quality.unanswered:,} of {quality.rows:,} flights in {window} have no answer "
            f"({share:.1%}); at most {self.max_share:.0%} may have none."
        )
        return Alert(UNANSWERED_RULE, share, self.max_share, message)


def check_all(rules: Sequence[Rule], quality: Quality, window: str) -> list[Alert]:
    """Return what fired, in the order of the rules."""
    return [alert for rule in rules if (alert := rule.check(quality, window))]
