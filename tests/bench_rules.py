"""Score the alert rules of lesson 07: a section of the table of `bench --statistics`.

Each rule is held against calm production, real and redrawn by whole days, and against troubles that
begin on autumn Mondays. Days to detection end with the window that told. A rule that takes labels
waits some two days more until they are in.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from counting import Count, together
from rule_scores import Seen, Year, seen, year_of
from rule_troubles import TROUBLES, recorded

from mlops_course.alerting.rule_files import read_rules
from mlops_course.alerting.scoring import score
from mlops_course.data.stream import WEEK
from mlops_course.monitoring.figures import FIGURES
from mlops_course.monitoring.windows import as_recorded, window_of

RULES = Path(__file__).parents[1] / "notebooks" / "07_rules.toml"
APRIL = date(2013, 4, 1)
WEEKS = 39  # from April to December
YEARS_A_SEED = WEEKS / 52
SEEDS = range(20)
STARTS = tuple(date(2013, 9, 2) + number * WEEK for number in range(8))
STRUCK_SEEDS = (None, 0, 1, 2)
WEEKS_BEFORE, WEEKS_AFTER = 2, 3


def sections(flights: pd.DataFrame) -> dict[str, Iterator[Count]]:
    """Return the sections by their titles."""
    year = year_of(flights, read_rules(RULES))
    return {
        "Alert rules: nothing broken": calm(year),
        "Alert rules: labels at the moment a week ends": labels_in_time(year),
        "Alert rules: troubles": troubles(year),
    }


# ---- nothing broken


def calm(year: Year) -> Iterator[Count]:
    """Count episodes on the real weeks from April on, and a year on weeks redrawn by days."""
    real = score_calm(year, None)
    drawn = [score_calm(year, seed) for seed in SEEDS]
    for rule in year.rules:
        name = f"{rule.severity}, {rule.name}"
        yield Count(f"{name}: episodes in the real weeks", real[rule.name], WEEKS, "")
        rung = np.array([episodes[rule.name] for episodes in drawn])
        error = float(rung.std(ddof=1)) / sqrt(len(rung)) / YEARS_A_SEED
        years = round(len(rung) * YEARS_A_SEED)
        what = f"{name}: episodes, {len(rung)} seeds"
        yield Count(what, int(rung.sum()), years, "100%: one a year", error)


def score_calm(year: Year, seed: int | None) -> dict[str, int]:
    """Return how many episodes each rule has from April to December."""
    flights = year.weeks(APRIL, WEEKS, seed)
    record = as_recorded(flights, year.model.probability(flights))
    found = seen(year.rules, record, year.terms, year.reference(APRIL))
    return {name: score([one.outcome]).false_alarms for name, one in found.items()}


def labels_in_time(year: Year) -> Iterator[Count]:
    """Count the real weeks that would be told of late labels, asked so many days after Sunday."""
    rule = next(rule for rule in year.rules if rule.figure == "labelled_share")
    for wait in (0, 1, 2):
        told = 0
        for number in range(WEEKS):
            monday = APRIL + number * WEEK
            week = year.weeks(monday, 1)
            asked = monday + WEEK + timedelta(days=wait)
            record = as_recorded(week, np.zeros(len(week)), before=asked)
            share = FIGURES[rule.figure].of(window_of(record, "", monday, 7), year.terms)
            told += rule.is_beyond(share)
        yield Count(f"{rule.name}: asked {wait} days after its end, alarms", told, WEEKS, "")


# ---- something broken


def troubles(year: Year) -> Iterator[Count]:
    """Count for each trouble whether the rules that are for it find it, and after how many days."""
    found = struck(year)
    for rule in year.rules:
        mine = {name: runs[rule.name] for name, runs in found.items() if rule.name in runs}
        for name, runs in mine.items():
            promise = "100%" if rule.name in TROUBLES[name].rules else "beside"
            yield recall(f"{rule.severity}, {rule.name}: {name}", runs, promise)
        told = score([run.outcome for runs in mine.values() for run in runs])
        if told.alarms:
            what = f"{rule.severity}, {rule.name}: alarms that were right"
            yield Count(what, told.right, told.alarms, "")


def recall(what: str, runs: Sequence[Seen], promise: str) -> Count:
    """Count the runs in which a rule found the trouble; starts are what is independent."""
    days = [run.days for run in runs if run.days is not None]
    told = f"days {np.median(days):g}, at most {max(days)}" if days else "never"
    happened = np.array([run.days is not None for run in runs])
    starts = np.array([run.first for run in runs], dtype="datetime64[D]")
    return together(f"{what} ({told})", happened, starts, promise)


def struck(year: Year) -> dict[str, dict[str, list[Seen]]]:
    """Return how each trouble was seen by the rules for it: by trouble and rule, a run each."""
    found: dict[str, dict[str, list[Seen]]] = {name: {} for name in TROUBLES}
    for first in STARTS:
        begin = first - WEEKS_BEFORE * WEEK
        reference = year.reference(begin)
        for seed in STRUCK_SEEDS:
            flights = year.weeks(begin, WEEKS_BEFORE + WEEKS_AFTER, seed)
            said = year.model.probability(flights)
            for name, trouble in TROUBLES.items():
                rules = [rule for rule in year.rules if rule.name in trouble.watched]
                record = recorded(trouble, flights, said, year.model, first)
                runs = seen(rules, record, year.terms, reference, first)
                for rule, run in runs.items():
                    found[name].setdefault(rule, []).append(run)
    return found


if __name__ == "__main__":
    from mlops_course.core.workspace import open_workspace
    from mlops_course.data.flights import load_flights

    for title, counts in sections(load_flights(open_workspace(Path(sys.argv[1])))).items():
        print(f"\n{title}", flush=True)
        for line in counts:
            print(line.row(), flush=True)
