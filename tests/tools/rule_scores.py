"""How alert rules see production whose truth is known; and the year that they are judged on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pandas as pd

from mlops_course.alerting.rule_files import RuleFile
from mlops_course.alerting.rules import Rule, evaluate
from mlops_course.alerting.scoring import Outcome
from mlops_course.data.features import vocabulary_of
from mlops_course.data.flights import FIRST_DAY, LAST_HELD_OUT
from mlops_course.data.stream import WEEK, Stream
from mlops_course.drift.calm_weeks import ROLLING_WEEKS, Reference, fit_reference
from mlops_course.monitoring.figures import Terms
from mlops_course.monitoring.windows import Record
from mlops_course.training.model import DelayModel
from mlops_course.training.trainer import TrainingConfig, train

WITHOUT_WEATHER = "2013-12-31"  # the file has none on this day: no calm one


@dataclass(frozen=True)
class Year:
    """The real flights, what winter has taught, and the rules that are judged."""

    flights: pd.DataFrame
    model: DelayModel
    rules: tuple[Rule, ...]
    terms: Terms

    def weeks(self, first: date, count: int, seed: int | None = None) -> pd.DataFrame:
        """Return the flights of so many weeks, as they were or redrawn by whole days."""
        stream = Stream(self.flights, first, seed=seed)
        return pd.concat([week.flights for week in stream.weeks(count)])

    def reference(self, first: date) -> Reference:
        """Return the calm weeks that production from a day on is held against, as monitored."""
        return fit_reference(
            _between(self.flights, FIRST_DAY, LAST_HELD_OUT),
            _between(self.flights, first - ROLLING_WEEKS * WEEK, first - timedelta(days=1)),
        )


def year_of(flights: pd.DataFrame, file: RuleFile) -> Year:
    """Return what the rules of a file are judged on."""
    flights = flights[flights["date"] < WITHOUT_WEATHER]
    model = train(flights[flights["date"] < "2013-03-18"], TrainingConfig()).model
    winter = _between(flights, FIRST_DAY, LAST_HELD_OUT)
    return Year(flights, model, file.rules, replace(file.terms, vocabulary=vocabulary_of(winter)))


@dataclass(frozen=True)
class Seen:
    """How a rule saw a stretch of production: see `scoring.Outcome`, and when its windows ended."""

    outcome: Outcome
    ends: Sequence[pd.Timestamp]
    first: pd.Timestamp | None

    @property
    def days(self) -> int | None:
        """Days from the beginning of the trouble to the end of the window that told."""
        for struck, fires, end in zip(
            self.outcome.struck, self.outcome.firing, self.ends, strict=True
        ):
            if struck and fires and self.first is not None:
                return (end - self.first).days
        return None


def seen(
    rules: Sequence[Rule],
    record: Record,
    terms: Terms,
    reference: Reference | None = None,
    first: date | None = None,
) -> dict[str, Seen]:
    """Return how each rule saw a record, in which something was wrong from a day on, or nothing."""
    moment = None if first is None else pd.Timestamp(first)
    watched = evaluate(rules, record, terms, reference)
    found = {}
    for rule in rules:
        mine = [one for one in watched if one.length == rule.window]
        ends = [one.window.end for one in mine]
        struck = [moment is not None and end > moment for end in ends]
        firing = [any(alert.rule == rule.name for alert in one.look.alerts) for one in mine]
        found[rule.name] = Seen(Outcome(struck, firing), ends, moment)
    return found


def _between(flights: pd.DataFrame, first: date, last: date) -> pd.DataFrame:
    return flights[flights["date"].between(str(first), str(last))]
