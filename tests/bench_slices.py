"""Count what the comparison of slices finds, and how often it cries wolf.

A section of the table of `bench --statistics`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from counting import CHAMPION, Count, RealYear, blocks_of, together

from mlops_course.data.incidents import INCIDENTS
from mlops_course.monitoring.slices import Counts, Slice, counts_of, judge
from mlops_course.training.model import DelayModel
from mlops_course.training.trainer import TrainingConfig, train

APRIL = pd.Timestamp("2013-04-01")
WEEKS = 39  # from April to December
BEFORE = 12
ORDERS = 3_000
AUTUMN = ("2013-09-02", "2013-11-25")  # the first and the last Monday
KNOWN_CAUSE = pd.Timestamp("2013-04-22")  # a week of trouble at LGA
AIRLINES = ("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN")
AIRPORTS = ("EWR", "JFK", "LGA")
CHANGED = ("dep_delay", "arr_delay", "late")


def sections(year: RealYear) -> dict[str, Iterator[Count]]:
    """Return the sections by their titles."""
    flights = year.flights.assign(probability=year.probability[CHAMPION])
    number = (flights["date"] - APRIL).dt.days // 7
    weeks = [week for place, week in flights.groupby(number) if 0 <= place < WEEKS]
    past = year.everything[year.everything["date"] < "2013-03-18"]
    model = train(past, TrainingConfig()).model
    return {
        "Slices: nothing broken": calm(weeks),
        "Slices: one part of the traffic broken": broken(weeks, model),
    }


def calm(weeks: list[pd.DataFrame]) -> Iterator[Count]:
    """Count alarms on real weeks in random order, and in their own."""
    counted = [counts_of(week) for week in weeks]
    generator = np.random.default_rng(0)
    length = BEFORE + 1
    alarms = 0
    for _ in range(ORDERS):
        order = generator.permutation(len(counted))
        parts = np.split(order, len(order) // length)
        alarms += sum(bool(alarm([counted[place] for place in part])) for part in parts)
    turns = ORDERS * (len(counted) // length)
    yield Count(f"weeks in random order, {BEFORE} before: alarm", alarms, turns, "1 of 13")
    later = range(BEFORE, len(counted))
    rung = [bool(alarm(counted[place - BEFORE : place + 1])) for place in later]
    yield Count(f"real weeks in order, {BEFORE} before: alarm", sum(rung), len(rung), "1 of 13")
    rung = [bool(alarm(counted[: place + 1])) for place in later]
    yield Count("real weeks in order, all before: alarm", sum(rung), len(rung), "at most 1 of 13")


def broken(weeks: list[pd.DataFrame], model: DelayModel) -> Iterator[Count]:
    """Count the autumn weeks in which a broken slice is found, and named first."""
    counted = [counts_of(week) for week in weeks]
    monday = [week["date"].min() for week in weeks]
    autumn = [
        place for place, day in enumerate(monday) if AUTUMN[0] <= str(day.date()) <= AUTUMN[1]
    ]
    for incident in ("padding", "clock"):
        for column, values in (("carrier", AIRLINES), ("origin", AIRPORTS)):
            rung: dict[str, list[tuple[bool, bool]]] = {}
            blocks = []
            for value in values:
                for place in autumn:
                    newest = counts_of(struck(weeks[place], column, value, incident, model))
                    blocks.append(blocks_of(np.array([monday[place]], dtype="datetime64[D]"))[0])
                    for name, before in references(counted, monday, place).items():
                        worst = alarm([*before, newest])
                        named = worst is not None and (worst.column, worst.value) == (column, value)
                        rung.setdefault(name, []).append((worst is not None, named))
            for name, found in rung.items():
                what = f"{incident} at one {column}, {name}"
                any_alarm, right = np.transpose(found)
                yield together(f"{what}: alarm", any_alarm, np.array(blocks), "")
                yield together(f"{what}: and names it", right, np.array(blocks), "")


def references(
    counted: list[Counts], monday: list[pd.Timestamp], place: int
) -> dict[str, list[Counts]]:
    """Return the weeks that one is held against, by how they are chosen."""
    known = [counted[one] for one in range(place) if monday[one] != KNOWN_CAUSE]
    return {
        f"{BEFORE} before": counted[place - BEFORE : place],
        "all before": counted[:place],
        "all before but 22 April": known,
    }


def alarm(windows: list[Counts]) -> Slice | None:
    """Return the slice that alarms most in the newest window; None where none does."""
    found = judge(windows)
    return found[0] if found and found[0].score > 1 else None


def struck(
    week: pd.DataFrame, column: str, value: str, incident: str, model: DelayModel
) -> pd.DataFrame:
    """Return a week in which an incident hits one slice, with what the model then says."""
    hit = week[column] == value
    changed = INCIDENTS[incident].apply(week)
    columns = {name: week[name].mask(hit, changed[name]) for name in CHANGED}
    said = np.where(hit, model.probability(changed), week["probability"])
    return week.assign(**columns, probability=said)
