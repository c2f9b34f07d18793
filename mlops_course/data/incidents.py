"""What can happen to a model in production: named incidents whose truth is known.

Most change what the stream delivers; some come with a release, or blind those who watch. Each says
what really changed, in the terms of drift (X the inputs, Y the label, Y|X their relation), what can
be seen of it, and what the right response is, which is not always to retrain. An entry here makes
an incident known to the simulator, to the drill and to the tests of both.
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
FEED = "feed"
DESK = "desk"
OWNERS: Mapping[str, str] = {
    FEED: "the team that owns the feed",
    DESK: "the team that owns the desks' software",
    "release": "whoever may move the champion",
    "labels": "the team that delivers arrivals",
    "monitoring": "the platform team",
}
"""Who can end an incident, by the names that `Incident.owner` may have."""
_LATE_LABEL_DAYS = 15
_RENAMED = "MQ"
_NEW_NAME = "EN"
_REFACTORED_DESK = "LGA"
_CLOSED = "EWR"
_CLOSED_HOURS = (8, 20)
_STORM_WEIGHT = 3.0  # a flight that left late is there so many times as often as on a calm day
_STORM_LOT = 3  # keeps its draws apart from others


@dataclass(frozen=True)
class Incident:
    """Something that happens to a model in production.

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
    visible
        What can be seen of it, and where first.
    owner
        Who can end it, a name of `OWNERS`; empty where nobody can, or nothing is to be ended.
    release
        What a colleague makes champion when it strikes, a name of
        `training.bad_releases.BAD_RELEASES`; empty for nothing.
    label_days
        How many days later labels come.
    blinds
        Whether nobody watches while it lasts: no rule is looked at.
    world
        Whether it happens to the flights themselves: then no data is wrong, and no flight was
        otherwise before.
    lasts
        Days after which it ends by itself in a drill; 0 for one that stays.
    responses
        What the best of all drills does about it, by the names of `shifts.prices.ACTIONS`, in
        order.
    """

    name: str
    title: str
    story: str
    changed: tuple[str, ...]
    response: str
    apply: Callable[[pd.DataFrame], pd.DataFrame]
    visible: str
    owner: str = ""
    release: str = ""
    label_days: int = 0
    blinds: bool = False
    world: bool = False
    lasts: int = 0
    responses: tuple[str, ...] = ()

    @property
    def changes_flights(self) -> bool:
        """Whether it can be seen in the rows; what comes with a release, for instance, cannot."""
        return self.apply is not _nothing

    @property
    def repairable(self) -> bool:
        """Whether it is a fault of what is delivered, whose owner can repair it."""
        return self.owner in (FEED, DESK)


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


def _new_carrier(rows: pd.DataFrame) -> pd.DataFrame:
    names = rows["carrier"].astype("str").replace(_RENAMED, _NEW_NAME)
    return rows.assign(carrier=names.astype("category"))


def _half_day_clock(rows: pd.DataFrame) -> pd.DataFrame:
    """Write the hours of one desk as a clock with twelve of them does."""
    there = rows["origin"] == _REFACTORED_DESK
    return rows.assign(hour=rows["hour"].where(~there, rows["hour"] % 12))


def _storm(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out an airport's day, and draw the other flights anew, those that left late more often.

    Who is drawn depends on what is known at push-back alone, so the relation to the label stays.
    """
    closed = (rows["origin"] == _CLOSED) & rows["hour"].between(*_CLOSED_HOURS)
    left = rows[~closed]
    days = [_stormy(day) for _, day in left.groupby("date", sort=False)]
    return pd.concat(days) if days else left


def _stormy(day: pd.DataFrame) -> pd.DataFrame:
    weights = np.where(day["dep_delay"] > LATE_MINUTES, _STORM_WEIGHT, 1.0)
    lot = np.random.default_rng((_STORM_LOT, day["date"].iloc[0].toordinal()))
    drawn = lot.choice(len(day), size=len(day), p=weights / weights.sum())
    return day.iloc[np.sort(drawn)]


_CATALOGUE = (
    Incident(
        "none",
        "Nothing happens",
        "The stream is as it was in 2013.",
        (),
        "Dismiss: nothing is wrong.",
        _nothing,
        "Nothing, or an alarm by chance or by season: the rule beside the model falls as well.",
        responses=("dismiss",),
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
        "Hardly a delay below 15 minutes in the rows; the share called late jumps on the first "
        "day, accuracy follows with the labels.",
        owner=FEED,
        lasts=56,
        responses=("declare", "fix-feed"),
    ),
    Incident(
        "hours",
        "Delay in hours",
        "A new version of the feed sends the departure delay in hours instead of minutes.",
        ("X", "Y|X"),
        "Fix upstream: the unit is a broken contract.",
        _hours,
        "Hardly any flight is called late from the first day on; no delay is above 20.",
        owner=FEED,
        lasts=42,
        responses=("declare", "fix-feed"),
    ),
    Incident(
        "dead-weather",
        "Weather feed dead",
        "The weather provider stops answering; every weather value arrives empty.",
        ("X",),
        "Fix upstream: the model gets by without weather for a while.",
        _dead_weather,
        "All weather columns are empty from the first day on; accuracy hardly moves.",
        owner=FEED,
        lasts=42,
        responses=("fix-feed",),
    ),
    Incident(
        "padding",
        "Schedule padding cut",
        "Airlines publish schedules 20 minutes tighter: the same flights now count as late.",
        ("Y", "Y|X"),
        "Retrain: the relation itself has changed, and the old one will not come back. That gains "
        "back only a part: in the new world the rule is wrong more often, too.",
        _padding,
        "Inputs stay as they are; accuracy falls once labels are in, and the rule's with it.",
        responses=("retrain",),
    ),
    Incident(
        "timezone",
        "Hour in another time zone",
        "The scheduled hour arrives four hours ahead, as if written down elsewhere.",
        ("X", "Y|X"),
        "Fix upstream: accuracy hardly moves, only a comparison of inputs finds it.",
        _timezone,
        "The hours of all flights run from 5 to 3 instead of 5 to 23: drift, and no loss.",
        owner=FEED,
        lasts=42,
        responses=("fix-feed",),
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
        "Requests refused from the first hour on, with the reason in the service's log.",
        owner=FEED,
        lasts=14,
        responses=("hold", "declare", "fix-feed"),
    ),
    Incident(
        "celsius",
        "Temperature in Celsius",
        "The weather provider switches temperature and dew point from Fahrenheit to Celsius.",
        ("X", "Y|X"),
        "Fix upstream, or convert at the border and test the unit.",
        _celsius,
        "Temperatures drift by more than any season; accuracy hardly moves.",
        owner=FEED,
        lasts=42,
        responses=("fix-feed",),
    ),
    Incident(
        "new-carrier",
        "An airline under a new name",
        "After a merger one airline's flights arrive under a code that training has never seen.",
        ("X",),
        "Nothing at once: unknown names are scored as missing. The next regular training learns "
        "them.",
        _new_carrier,
        "A share of unknown airlines from the first day on; accuracy does not move.",
        responses=("dismiss",),
    ),
    Incident(
        "storm",
        "An airport closed by a storm",
        "A storm closes Newark for three days; at the other airports many flights leave late.",
        ("X",),
        "Nothing: the flights are really like that. It ends by itself, and a model that learned "
        "from these days would be wrong afterwards.",
        _storm,
        "Flights missing at one airport, many called late, accuracy low: with the rule's.",
        world=True,
        lasts=3,
        responses=("dismiss",),
    ),
    Incident(
        "desk-skew",
        "One desk's hours after a refactoring",
        "A new release of the desks' software writes LaGuardia's hours with a twelve-hour clock: "
        "what the model is asked there differs from what it learned.",
        ("X", "Y|X"),
        "Have that release reverted. Accuracy hardly moves; only the inputs, by desk, show it.",
        _half_day_clock,
        "No hour above 11 at one of three desks; the other two as ever.",
        owner=DESK,
        lasts=42,
        responses=("revert-desk",),
    ),
    Incident(
        "worse-release",
        "A worse model promoted",
        "A colleague promotes by hand, past the gate, a model that learned from as many late "
        "flights as punctual ones, which in the world are far more.",
        (),
        "Roll back. The inputs are as they were; what changed is the version.",
        _nothing,
        "A forced entry in the promotion log; far more flights called late, and a lower accuracy, "
        "from that version's first day on.",
        owner="release",
        release="worse",
        lasts=42,
        responses=("roll-back",),
    ),
    Incident(
        "stuck-release",
        "A model stuck on one answer",
        "A colleague promotes by hand, past the gate, a model whose training rate was a typing "
        "error: it gives every flight the same probability.",
        (),
        "Roll back. A model that never says late is right for most flights and of no use.",
        _nothing,
        "No flight is called late, and all probabilities are equal, from that version's first day.",
        owner="release",
        release="stuck",
        lasts=28,
        responses=("roll-back",),
    ),
    Incident(
        "slow-release",
        "A slow new version",
        "A colleague promotes by hand a version in which every tree is stored many times over: the "
        "same answers at many times the work.",
        (),
        "Roll back: accuracy is as it was, but answers come too late for some who asked.",
        _nothing,
        "Milliseconds by version in the service's log; accuracy, inputs and answers as they were.",
        owner="release",
        release="slow",
        lasts=42,
        responses=("roll-back",),
    ),
    Incident(
        "late-labels",
        "Labels come late",
        "The pipeline that brings arrivals back is stuck in a queue: labels come two weeks later.",
        (),
        "Have it unstuck, and leave the model alone: nothing is known against it.",
        _nothing,
        "The share of labels that are in falls to nothing; inputs and answers as they were.",
        owner="labels",
        label_days=_LATE_LABEL_DAYS,
        lasts=28,
        responses=("chase-labels",),
    ),
    Incident(
        "monitoring-dead",
        "Nobody watches",
        "The job that evaluates the alert rules has died: whatever happens now, no alert comes.",
        (),
        "Have it restarted, then look at what was missed. No alert is not good news.",
        _nothing,
        "The dashboard's last evaluation is days old.",
        owner="monitoring",
        blinds=True,
        lasts=42,
        responses=("restart-monitoring",),
    ),
)
INCIDENTS: Mapping[str, Incident] = {incident.name: incident for incident in _CATALOGUE}
