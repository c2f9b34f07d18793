"""Production as it was written down, cut into windows: by time or by number of flights.

A window holds what was to be asked, so that one without an answer, a label or even a flight is
still a window: the worst week is the one about which nothing is known.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.data.features import FEATURES
from mlops_course.drift.calm_weeks import Reference, drift_scores
from mlops_course.monitoring.labels import Labels, beside, read_labels
from mlops_course.monitoring.performance import Quality, join, measure
from mlops_course.serving.prediction_log import KEY, read_predictions, read_requests
from mlops_course.serving.replay import numbered
from mlops_course.serving.routing import CHAMPION, REFUSED, SHADOW

DAY = pd.Timedelta(days=1)
WEEK_DAYS = 7
CLOCK_SLACK = pd.Timedelta(seconds=1)
_ANSWER = ["role", "version", "probability"]
USUAL_OF = 4  # so many windows before one say how many flights are usual


@dataclass(frozen=True)
class Window:
    """A stretch of production.

    Attributes
    ----------
    name
        How a sentence calls it, as in ``the week of 2013-09-02``.
    start, end
        When it begins and when it is over.
    flights
        What `performance.join` returns, those of the window.
    requests
        What `prediction_log.read_requests` returns, those of the window's flights.
    usual_flights
        The median number of flights of the last windows before it, of those on the same weekday
        where windows are no whole weeks; NaN for the first.
    drift_scores
        What `drift.calm_weeks.drift_scores` returns; empty where nothing was compared.
    """

    name: str
    start: pd.Timestamp
    end: pd.Timestamp
    flights: pd.DataFrame = field(repr=False)
    requests: pd.DataFrame = field(repr=False)
    usual_flights: float = float("nan")
    drift_scores: Mapping[str, float] = field(default_factory=dict, repr=False)

    @cached_property
    def quality(self) -> Quality:
        """How well it went."""
        return measure(self.flights)

    @cached_property
    def answered(self) -> pd.DataFrame:
        """Its flights that were answered."""
        known = self.flights["probability"].notna()
        return self.flights if known.all() else self.flights[known]


@dataclass(frozen=True)
class Record:
    """What service and label store have written down.

    Attributes
    ----------
    flights
        One row a flight that was to be asked about: what `performance.join` returns.
    requests
        What `prediction_log.read_requests` returns, shadows left out.
    known
        What `labels.read_labels` returns.
    unreadable
        How many entries of the log cannot be read.
    """

    flights: pd.DataFrame = field(repr=False)
    requests: pd.DataFrame = field(repr=False)
    known: Labels = field(repr=False)
    unreadable: int = 0

    @cached_property
    def in_order(self) -> pd.DataFrame:
        """The flights in order of their days; windows are parts of it, and no copies."""
        if self.flights["date"].is_monotonic_increasing:
            return self.flights
        return self.flights.sort_values("date", kind="stable")

    def requests_of(self, flights: pd.DataFrame) -> pd.DataFrame:
        """Return the requests of some of the flights."""
        return self.requests[self.requests["request_id"].isin(flights["request_id"].unique())]

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What is odd about the files themselves, a sentence each; nothing is repaired."""
        expected = self.known.requests.set_index("request_id")["at"]
        asked = expected[~expected.index.duplicated()]
        labels = self.known.labels
        asked_at = labels["request_id"].map(asked)
        answered = self.requests.loc[self.requests["role"] != REFUSED, "request_id"]
        counted = {
            "Entries of the log that cannot be read": self.unreadable,
            "Requests announced twice": len(expected) - len(asked),
            "Requests answered that nobody announced": (
                ~answered.drop_duplicates().isin(asked.index)
            ).sum(),
            "Labels of flights that nobody announced": asked_at.isna().sum(),
            "Labels dated before their flight": (labels["at"] < asked_at).sum(),
            "Flights with labels that differ": (labels.groupby(KEY)["late"].nunique() > 1).sum(),
        }
        found = [f"{what}: {count:,}." for what, count in counted.items() if count]
        backwards = -self.requests["at"].diff().min()
        if backwards > CLOCK_SLACK:
            found.append(f"The log's clock went back by {backwards.total_seconds():.0f} seconds.")
        return tuple(found)


def read_record(
    log: Path,
    labels: Path | None = None,
    *,
    request_ids: Iterable[str] | None = None,
    before: date | None = None,
) -> Record:
    """Read a prediction log and its label store.

    Parameters
    ----------
    labels
        The label store; by default the one that stands beside the log.
    request_ids
        The requests to read; all of them by default.
    before
        Only labels that had arrived before this moment count; None for all.

    Raises
    ------
    WorkspaceError
        If a file is not there, or damaged.
    """
    ids = None if request_ids is None else list(request_ids)
    known = read_labels(labels or beside(log), ids, before)
    answers = read_predictions(log, ids, skip_unreadable=True)
    requests = read_requests(log, ids)
    requests = requests[requests["role"] != SHADOW]
    return Record(join(answers, known), requests, known, len(answers.attrs["unreadable"]))


def as_recorded(
    flights: pd.DataFrame,
    probability: np.ndarray,
    before: date | None = None,
    *,
    size: int | None = None,
) -> Record:
    """Return what would have been written down, had a service answered with these probabilities.

    So rules are tried on many weeks, without a service.

    Parameters
    ----------
    flights
        In order of date, with the 14 features, ``date``, ``late`` and ``label_at``, as
        `data.stream.Week` has them.
    probability
        Shape (flights,); NaN for a flight without an answer.
    before
        Only labels that had arrived before this moment count; None for all.
    size
        How many flights a request holds; None for a day a request.
    """
    sent = numbered(flights, size or len(flights) + 1).assign(
        role=CHAMPION, version="1", probability=probability
    )
    requests = sent.groupby("request_id", sort=False)["date"].agg(at="first", rows="size")
    requests = requests.reset_index()
    came = sent["late"].notna() & sent["label_at"].notna()
    if before is not None:
        came &= sent["label_at"] < pd.Timestamp(before)
    labels = sent.loc[came, [*KEY, "late", "label_at"]].rename(columns={"label_at": "at"})
    answers = sent.loc[sent["probability"].notna(), [*KEY, *_ANSWER, *FEATURES]]
    asked = requests.assign(role=CHAMPION, version="1", ms=0.0, failure="")
    known = Labels(requests, labels.sort_values("at", kind="stable", ignore_index=True))
    return Record(join(answers, known), asked, known)


def by_days(record: Record, days: int, until: date | None = None) -> list[Window]:
    """Cut a record into windows of so many days; windows of whole weeks begin on a Monday.

    Every window from the first to the last day is there, also one without a flight.

    Parameters
    ----------
    until
        The moment up to which production has gone; by default the end of the last day that was
        announced. A window that is not over by then is left out.
    """
    days = _checked(days, "days")
    flights = record.in_order
    dates = flights["date"]
    if flights.empty and until is None:
        return []
    first = dates.iloc[0] if len(dates) else pd.Timestamp(until).normalize()
    if days % WEEK_DAYS == 0:
        first -= first.day_of_week * DAY
    end = dates.iloc[-1] + DAY if until is None else pd.Timestamp(until)
    windows = []
    for start in pd.date_range(first, end - days * DAY, freq=f"{days}D"):
        inside = slice(*dates.searchsorted([start, start + days * DAY]))
        part = flights.iloc[inside]
        asked = record.requests_of(part)
        windows.append(Window(_name_of(start, days), start, start + days * DAY, part, asked))
    return list(_with_usual(windows, 1 if days % WEEK_DAYS == 0 else WEEK_DAYS))


def by_count(record: Record, flights: int) -> list[Window]:
    """Cut a record into windows of so many flights, in the order of their days.

    Flights left over at the end wait for more.
    """
    flights = _checked(flights, "flights")
    ordered = record.in_order
    windows = []
    for begin in range(0, len(ordered) - flights + 1, flights):
        part = ordered.iloc[begin : begin + flights]
        start = part["date"].iloc[0]
        end = part["date"].iloc[-1] + DAY
        name = f"flights {begin + 1:,} to {begin + flights:,}"
        windows.append(Window(name, start, end, part, record.requests_of(part)))
    return windows


def with_drift(windows: Iterable[Window], reference: Reference) -> Iterator[Window]:
    """Compare the answered flights of each week with a reference that goes on with the weeks."""
    for window in windows:
        yield replace(window, drift_scores=drift_scores(reference, window.answered))
        reference = reference.followed_by(window.answered)


def window_of(record: Record, name: str, start: date, days: int) -> Window:
    """Return a record as one window."""
    begin = pd.Timestamp(start)
    return Window(name, begin, begin + days * DAY, record.flights, record.requests)


def _name_of(start: pd.Timestamp, days: int) -> str:
    if days == 1:
        return f"{start:%Y-%m-%d}"
    if days == WEEK_DAYS:
        return f"the week of {start:%Y-%m-%d}"
    return f"the {days} days from {start:%Y-%m-%d}"


def _with_usual(windows: Iterable[Window], step: int) -> Iterator[Window]:
    """Tell each window how many flights those before it had, each so many windows apart."""
    sizes: list[int] = []
    for window in windows:
        before = range(len(sizes) - step, -1, -step)[:USUAL_OF]
        usual = pd.Series([sizes[place] for place in before], dtype="float64").median()
        yield replace(window, usual_flights=usual)
        sizes.append(len(window.flights))


def _checked(number: int, unit: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ParameterError(
            f"A window of {number!r} {unit} is none.",
            f"It has a whole number of {unit}, at least one.",
            f"Write for instance by_{'days' if unit == 'days' else 'count'}(record, 7).",
        )
    return number
