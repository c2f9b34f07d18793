"""What can happen to a stream of flights: named changes whose truth is known.

An incident changes a copy of the rows and never the model. Each says what really changed,
in the terms of drift (X the inputs, Y the label, Y|X their relation), and what the right
response is, which is not always to retrain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_course.data.features import WEATHER
from mlops_course.data.flights import LATE_MINUTES

TAKE_OFF_MINUTES = 20.0
PADDING_MINUTES = 20.0
SHIFT_HOURS = 4.0
EMPTY_EVERY = 300  # flights


@dataclass(frozen=True)
class Incident:
    """A change to the stream.

    Attributes
    ----------
    name, title, story
        Its key, its name for people, and what happened in the world.
    changed
        What truly changed: some of ``X``, ``Y``, ``Y|X``.
    response
        What a good engineer does about it.
    apply
        Takes rows as logged without the incident, returns a changed copy.
    repairable
        Whether it is a fault of a feed, whose owner can repair it.
    """

    name: str
    title: str
    story: str
    changed: tuple[str, ...]
    response: str
    apply: Callable[[pd.DataFrame], pd.DataFrame]
    repairable: bool = True


def _nothing(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def _clock(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(dep_delay=rows["dep_delay"] + TAKE_OFF_MINUTES)


def _hours(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(dep_delay=rows["dep_delay"] / 60)


def _dead_weather(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**dict.fromkeys(WEATHER, np.nan))


def _timezone(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(hour=(rows["hour"] + SHIFT_HOURS) % 24)


def _celsius(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(temp=(rows["temp"] - 32) / 1.8, dewp=(rows["dewp"] - 32) / 1.8)


def _padding(rows: pd.DataFrame) -> pd.DataFrame:
    delay = rows["arr_delay"] + PADDING_MINUTES
    late = (delay > LATE_MINUTES).where(delay.notna()).astype("float64")
    return rows.assign(arr_delay=delay, late=late)


def _gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave evenly spread departure delays empty, enough for one in every day's request."""
    empty = np.arange(len(rows)) % EMPTY_EVERY == 0
    return rows.assign(dep_delay=rows["dep_delay"].mask(empty))


_CATALOGUE = (
    Incident(
        "none",
        "Nothing happens",
        "The stream is as it was in 2013.",
        (),
        "Dismiss: nothing is wrong.",
        _nothing,
        repairable=False,
    ),
    Incident(
        "clock",
        "Departure clock switched",
        "Upstream, the departure time silently changes from the moment the aircraft leaves "
        "the gate to its target take-off time, 20 minutes later.",
        ("X", "Y|X"),
        "Have the feed repaired; retraining on drifted weeks is a stopgap, for a model that has "
        "learned the new meaning reads the repaired feed wrongly.",
        _clock,
    ),
    Incident(
        "hours",
        "Delay in hours",
        "A new version of the feed sends the departure delay in hours instead of minutes.",
        ("X", "Y|X"),
        "Fix upstream: the unit is a broken contract.",
        _hours,
    ),
    Incident(
        "dead-weather",
        "Weather feed dead",
        "The weather provider stops answering; every weather value arrives empty.",
        ("X",),
        "Fix upstream: the model gets by without weather for a while.",
        _dead_weather,
    ),
    Incident(
        "padding",
        "Schedule padding cut",
        "Airlines publish schedules 20 minutes tighter: the same flights now count as late.",
        ("Y", "Y|X"),
        "Retrain: the relation itself has changed, and the old one will not come back. That gains "
        "back only a part: in the new world the rule is wrong more often, too.",
        _padding,
        repairable=False,
    ),
    Incident(
        "timezone",
        "Hour in another time zone",
        "The scheduled hour arrives four hours ahead, as if written down elsewhere.",
        ("X", "Y|X"),
        "Fix upstream: accuracy hardly moves, only a comparison of inputs finds it.",
        _timezone,
    ),
    Incident(
        "refused",
        "A few departure delays empty",
        "The feed leaves one departure delay in 300 empty. The service refuses a request that "
        "holds an empty one, with every other flight in it: hardly a flight is answered.",
        ("X",),
        "Have the feed repaired; until then leave incomplete flights out, so that one of them "
        "does not cost hundreds their answer.",
        _gaps,
    ),
    Incident(
        "celsius",
        "Temperature in Celsius",
        "The weather provider switches temperature and dew point from Fahrenheit to Celsius.",
        ("X", "Y|X"),
        "Fix upstream, or convert at the border and test the unit.",
        _celsius,
    ),
)
INCIDENTS: Mapping[str, Incident] = {incident.name: incident for incident in _CATALOGUE}
