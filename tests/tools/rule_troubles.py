"""What goes wrong in production, by its truth, and which alert rules each thing is for.

Here are those incidents of the catalogue that change what the feed delivers. What befalls model,
service and labels is done here to what they write down, in more ways than the catalogue has.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from mlops_course.data.features import FEATURES
from mlops_course.data.incidents import INCIDENTS
from mlops_course.monitoring.windows import Record, as_recorded
from mlops_course.serving.routing import REFUSED
from mlops_course.training.model import DelayModel

UNANSWERED = "flights unanswered"
REFUSALS = "requests refused"
FAILURES = "model fails"
SLOW = "model slow"
FLIGHTS_MISSING = "flights missing"
FEWER_FLIGHTS = "fewer flights than usual"
INPUT_MISSING = "an input is missing"
OUT_OF_RANGE = "an input out of range"
UNKNOWN = "unknown places or airlines"
HARDLY_LATE = "hardly any flight called late"
MOSTLY_LATE = "most flights called late"
UNSURE = "the model is unsure"
DRIFTED = "inputs drifted"
LABELS_AWAY = "labels stay away"
BURNS_IN_A_DAY = "budget burns in a day"
THREE_WEEKS = "budget gone in three weeks"
BEFORE_ITS_TIME = "budget gone before its time"
SENTINEL = -9_999.0
SLOW_MS = 150.0
A_TENTH = 10
SMALL_REQUEST = 100
ANSWER = ["probability", "role", "version", *FEATURES]


def _as_it_was(flights: pd.DataFrame) -> pd.DataFrame:
    return flights


def _as_it_said(probability: np.ndarray) -> np.ndarray:
    return probability


def _as_written(record: Record, _: pd.Timestamp) -> Record:
    return record


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong on a day and stays.

    Attributes
    ----------
    rules
        The names of the rules that are for it: from its truth and their words, not from what they
        find.
    beside
        Rules that may see it, but that promise nothing of it.
    feed
        What the feed delivers from then on.
    model
        What the model says from then on, from what it would have said.
    log
        What is written down, from the record as it would have been and the moment.
    small_requests
        Whether a request holds `SMALL_REQUEST` flights, and not those of a day.
    """

    rules: tuple[str, ...]
    feed: Callable[[pd.DataFrame], pd.DataFrame] = _as_it_was
    model: Callable[[np.ndarray], np.ndarray] = _as_it_said
    log: Callable[[Record, pd.Timestamp], Record] = _as_written
    small_requests: bool = False
    beside: tuple[str, ...] = ()

    @property
    def watched(self) -> tuple[str, ...]:
        """All rules that are held against it."""
        return self.rules + self.beside


def _lost(*airports: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows[~rows["origin"].isin(airports)]


def _every_other(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[::2]


def _nothing(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave the last flight, so that the record reaches as far as production has gone."""
    return rows[-1:]


def _sentinel(rows: pd.DataFrame) -> pd.DataFrame:
    """Send a number for a missing wind: one flight in twenty has it."""
    empty = np.arange(len(rows)) % 20 == 0
    return rows.assign(wind_speed=rows["wind_speed"].mask(empty, SENTINEL))


def _seconds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(dep_delay=rows["dep_delay"] * 60)


def _other_codes(rows: pd.DataFrame) -> pd.DataFrame:
    """Send airports by their four letters, as the ICAO writes them."""
    return rows.assign(dest="K" + rows["dest"].astype(str))


def _renamed(rows: pd.DataFrame) -> pd.DataFrame:
    """Give one large airline another code."""
    return rows.assign(carrier=rows["carrier"].astype(str).replace("DL", "DAL"))


def _always(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda probability: np.full(len(probability), value)


def _turned_round(probability: np.ndarray) -> np.ndarray:
    return 1 - probability


def _incomplete_refused(record: Record, moment: pd.Timestamp) -> Record:
    """Refuse each request that holds a flight without departure delay."""
    incomplete = record.flights.loc[record.flights["dep_delay"].isna(), "request_id"]
    chosen = record.requests["request_id"].isin(incomplete.unique())
    return _unanswered(record, chosen, role=REFUSED, failure="422: dep_delay")


def _some_refused(record: Record, moment: pd.Timestamp) -> Record:
    chosen = _one_in_ten_since(record, moment)
    return _unanswered(record, chosen, role=REFUSED, failure="422: dep_delay")


def _some_fail(record: Record, moment: pd.Timestamp) -> Record:
    return _unanswered(record, _one_in_ten_since(record, moment), failure="ValueError: an input")


def _all_fail(record: Record, moment: pd.Timestamp) -> Record:
    return _unanswered(record, _since(record, moment), failure="ValueError: an input")


def _silent(record: Record, moment: pd.Timestamp) -> Record:
    """Let the service be down: it writes nothing."""
    down = record.requests.loc[_since(record, moment), "request_id"]
    left = record.requests[~record.requests["request_id"].isin(down)]
    return Record(_without(record.flights, down, ANSWER), left, record.known)


def _slow(record: Record, moment: pd.Timestamp) -> Record:
    slow = _since(record, moment)
    requests = record.requests.assign(ms=record.requests["ms"].mask(slow, SLOW_MS))
    return replace(record, requests=requests)


def _unlabelled(record: Record, moment: pd.Timestamp) -> Record:
    """Let no label arrive of any flight from then on."""
    asked = record.known.requests
    late = asked.loc[asked["at"] >= moment, "request_id"]
    return replace(record, flights=_without(record.flights, late, ["late", "label_at"]))


def _unanswered(record: Record, chosen: pd.Series, **change: str) -> Record:
    lost = record.requests.loc[chosen, "request_id"]
    requests = record.requests.copy()
    for name, value in change.items():
        requests[name] = requests[name].mask(chosen, value)
    return Record(_without(record.flights, lost, ANSWER), requests, record.known)


def _without(flights: pd.DataFrame, requests: pd.Series, columns: list[str]) -> pd.DataFrame:
    """Empty some columns in the flights of some requests."""
    chosen = flights["request_id"].isin(requests)
    emptied = {name: flights[name].mask(chosen) for name in columns}
    return flights.assign(**emptied)


def _since(record: Record, moment: pd.Timestamp) -> pd.Series:
    at = record.known.requests.set_index("request_id")["at"]
    return record.requests["request_id"].map(at) >= moment


def _one_in_ten_since(record: Record, moment: pd.Timestamp) -> pd.Series:
    place = np.arange(len(record.requests)) % A_TENTH == 0
    return _since(record, moment) & place


_BUDGET = (THREE_WEEKS, BEFORE_ITS_TIME)
TROUBLES = {
    # The clock burns the budget one and a half times as fast as it may: near the page's limit.
    "clock": Trouble(
        (UNSURE, DRIFTED, BEFORE_ITS_TIME), feed=INCIDENTS["clock"].apply, beside=(THREE_WEEKS,)
    ),
    "hours": Trouble(
        (HARDLY_LATE, DRIFTED), feed=INCIDENTS["hours"].apply, beside=(BEFORE_ITS_TIME,)
    ),
    "dead-weather": Trouble((INPUT_MISSING, DRIFTED), feed=INCIDENTS["dead-weather"].apply),
    "padding": Trouble(_BUDGET, feed=INCIDENTS["padding"].apply),
    "timezone": Trouble((DRIFTED,), feed=INCIDENTS["timezone"].apply),
    "celsius": Trouble((DRIFTED,), feed=INCIDENTS["celsius"].apply),
    "refused": Trouble(
        (UNANSWERED, REFUSALS), feed=INCIDENTS["refused"].apply, log=_incomplete_refused
    ),
    "one request in ten refused": Trouble(
        (UNANSWERED, REFUSALS), log=_some_refused, small_requests=True
    ),
    "model fails on one request in ten": Trouble(
        (UNANSWERED, FAILURES), log=_some_fail, small_requests=True
    ),
    "model fails": Trouble((UNANSWERED, FAILURES), log=_all_fail),
    "service down": Trouble((UNANSWERED,), log=_silent),
    "model takes 150 ms": Trouble((SLOW,), log=_slow, small_requests=True),
    "EWR lost": Trouble((FEWER_FLIGHTS,), feed=_lost("EWR"), beside=(DRIFTED,)),
    "JFK lost": Trouble((FEWER_FLIGHTS,), feed=_lost("JFK"), beside=(DRIFTED,)),
    "LGA lost": Trouble((FEWER_FLIGHTS,), feed=_lost("LGA"), beside=(DRIFTED,)),
    "every other flight lost": Trouble(
        (FEWER_FLIGHTS,), feed=_every_other, beside=(FLIGHTS_MISSING,)
    ),
    "two airports lost": Trouble((FLIGHTS_MISSING, FEWER_FLIGHTS), feed=_lost("EWR", "LGA")),
    "feed ends": Trouble((FLIGHTS_MISSING, FEWER_FLIGHTS, UNANSWERED), feed=_nothing),
    "-9999 for a missing wind": Trouble((OUT_OF_RANGE,), feed=_sentinel),
    "delay in seconds": Trouble((OUT_OF_RANGE,), feed=_seconds),
    "other codes of airports": Trouble((UNKNOWN, DRIFTED), feed=_other_codes),
    "an airline renamed": Trouble((UNKNOWN,), feed=_renamed, beside=(DRIFTED,)),
    "stuck on never late": Trouble((HARDLY_LATE,), model=_always(0.05)),
    "stuck on late": Trouble((MOSTLY_LATE, BURNS_IN_A_DAY, *_BUDGET), model=_always(0.95)),
    "stuck on one half": Trouble((UNSURE,), model=_always(0.45)),
    "answers turned round": Trouble((BURNS_IN_A_DAY, *_BUDGET), model=_turned_round),
    "labels stay away": Trouble((LABELS_AWAY,), log=_unlabelled),
}


def recorded(
    trouble: Trouble, flights: pd.DataFrame, said: np.ndarray, model: DelayModel, first: date
) -> Record:
    """Return what would have been written down of flights, with trouble from a day on.

    Parameters
    ----------
    said
        What the model says of the flights where nothing is wrong, shape (flights,).
    """
    moment = pd.Timestamp(first)
    calm = int((flights["date"] < moment).sum())
    struck = trouble.feed(flights[calm:])
    later = said[calm:] if trouble.feed is _as_it_was else model.probability(struck)
    said = np.concatenate([said[:calm], trouble.model(later)])
    flights = pd.concat([flights[:calm], struck])
    size = SMALL_REQUEST if trouble.small_requests else None
    return trouble.log(as_recorded(flights, said, size=size), moment)
