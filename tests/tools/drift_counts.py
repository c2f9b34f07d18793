"""How often the drift verdict is wrong where nothing happened, and right where something did.

Two verdicts are counted: that of the loop (the weather against the weeks before, the rest against
weeks that stay), and that of the command, on all features against the weeks that are named.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from counting import Count, together

from mlops_course.data.features import NUMERIC
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift import calm_weeks
from mlops_course.drift.profiles import Profile, profile
from mlops_course.drift.textbook import FITTED, limits_crossed

APRIL = pd.Timestamp("2013-04-01")
WEEK_DAYS = 7
ORDERS = 60
DRAWS_A_WEEK = 5
SIZES = (1_000, 200)
SHIFTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # standard deviations
FOUND = 0.8
CHANGED = ("none", "clock", "hours", "timezone", "celsius", "dead-weather")

Change = Callable[[pd.DataFrame], pd.DataFrame]


def drifting(flights: pd.DataFrame) -> Iterator[Count]:
    """Count both verdicts: false alarms first, then what is found."""
    monday = flights["date"] - pd.to_timedelta(flights["date"].dt.day_of_week, unit="D")
    weeks = [week for _, week in flights.groupby(monday) if week["date"].nunique() == WEEK_DAYS]
    calm = [week for week in weeks if week["date"].iloc[0] < APRIL]
    yield from weeks_in_random_order(weeks)
    yield from later_weeks(weeks, len(calm))
    yield from held_out(calm)
    spread = pd.concat(calm)[list(NUMERIC)].std()
    yield from changed_weeks(calm, spread)
    yield from smallest_shifts(calm, spread)


# ---- nothing happened


def weeks_in_random_order(weeks: list[pd.DataFrame]) -> Iterator[Count]:
    """Real weeks in random order are exchangeable: what is promised must hold."""
    generator = np.random.default_rng(0)
    counted = [profile(week, calm_weeks.KINDS) for week in weeks]
    alarmed = []
    orders = []
    for number in range(ORDERS):
        order = generator.permutation(len(weeks))
        reference = calm_weeks.fit_reference(
            pd.concat([weeks[place] for place in order[: calm_weeks.ROLLING_WEEKS]])
        )
        for turn in range(calm_weeks.ROLLING_WEEKS, len(weeks)):
            before = [counted[place] for place in order[turn - calm_weeks.ROLLING_WEEKS : turn]]
            week = weeks[order[turn]]
            both = groups_alarmed(reference, week)
            alarmed.append((*both, alarms(before, counted[order[turn]])))
            orders.append(number)
            reference = reference.followed_by(week)
    names = ("the loop, weather", "the loop, rest", "all features, the 12 before")
    for name, found in zip(names, np.transpose(alarmed), strict=True):
        what = f"{name}: {len(weeks)} weeks in random order, alarm"
        yield together(what, found, np.array(orders), "1 of 13")


def later_weeks(weeks: list[pd.DataFrame], calm: int) -> Iterator[Count]:
    """Count the real weeks from April, in their order: the season moves, and nothing is broken."""
    reference = calm_weeks.fit_reference(pd.concat(weeks[:calm]))
    counted = [profile(week, calm_weeks.KINDS) for week in weeks]
    found = []
    for number in range(calm, len(weeks)):
        both = groups_alarmed(reference, weeks[number])
        rolling = counted[number - calm_weeks.ROLLING_WEEKS : number]
        of_all = [
            alarms(reference_weeks, counted[number])
            for reference_weeks in (counted[:calm], rolling)
        ]
        found.append((*both, *of_all))
        reference = reference.followed_by(weeks[number])
    names = (
        *("the loop, weather", "the loop, rest"),
        *("all features, January to March", "all features, the 12 before"),
    )
    for name, count in zip(names, np.sum(found, axis=0), strict=True):
        yield Count(f"{name}: real weeks from April that alarm", int(count), len(found), "1 of 13")


def held_out(calm: list[pd.DataFrame]) -> Iterator[Count]:
    """Count the calm weeks, each held out, by the rank and by a rule fitted without the week."""
    counted = [profile(week, calm_weeks.KINDS) for week in calm]
    by_rank = 0
    fitted = 0
    for number, week in enumerate(counted):
        others = [other for place, other in enumerate(counted) if place != number]
        by_rank += alarms(others, week)
        fitted += limits_crossed(calm_weeks.Group(calm_weeks.KINDS, tuple(others)), week)[FITTED]
    what = "calm weeks held out, alarm"
    yield Count(
        f"{what}: by the rank, of all scored alike", by_rank, len(calm), "1 by construction"
    )
    yield Count(f"{what}: beyond 1.5 times the largest of the others", fitted, len(calm), "broken")


# ---- something happened


def changed_weeks(calm: list[pd.DataFrame], spread: pd.Series) -> Iterator[Count]:
    """Count the calm weeks held out, some flights of each, with something changed."""
    changes: dict[str, Change] = {name: INCIDENTS[name].apply for name in CHANGED}
    changes |= {
        f"{name} by half a deviation": shifted(name, 0.5 * spread[name]) for name in NUMERIC
    }
    changes |= {f"{airport} lost": without(airport, 1.0) for airport in ("EWR", "JFK", "LGA")}
    changes |= {
        f"half of {airport} lost": without(airport, 0.5) for airport in ("EWR", "JFK", "LGA")
    }
    references = [others(calm, number) for number in range(len(calm))]
    for rows in SIZES:
        for name, change in changes.items():
            found, block = judged(calm, references, change, rows)
            for which, alarmed in zip(("the loop", "all features"), found.T, strict=True):
                promise = "at most 1 of 6, 1 of 12" if name == "none" else ""
                what = f"{which}, {rows:,} flights of a calm week, {name}: alarm"
                yield together(what, alarmed, block, promise)


def smallest_shifts(calm: list[pd.DataFrame], spread: pd.Series) -> Iterator[Count]:
    """Find for each number the smallest shift that is found most of the time, by either verdict."""
    references = [others(calm, number) for number in range(len(calm))]
    for rows in SIZES:
        for name in NUMERIC:
            missing = {0: "the loop", 1: "all features"}
            for shift in SHIFTS:
                found, block = judged(calm, references, shifted(name, shift * spread[name]), rows)
                for which in [one for one in missing if found[:, one].mean() >= FOUND]:
                    what = f"{missing.pop(which)}, {rows:,} flights, {name} by {shift:g} deviations"
                    yield together(f"{what}: alarm", found[:, which], block, "smallest over 80%")
                if not missing:
                    break
            for which, told in missing.items():
                what = f"{told}, {rows:,} flights, {name} by {SHIFTS[-1]:g} deviations: alarm"
                yield together(what, found[:, which], block, "not found")


def judged(
    calm: list[pd.DataFrame],
    references: list[tuple[calm_weeks.Reference, list[Profile]]],
    change: Change,
    rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether either verdict alarms, shape (turns, 2), and the week of each turn."""
    found = []
    block = []
    for number, week in enumerate(calm):
        changed = change(week)
        reference, weeks = references[number]
        for draw in range(DRAWS_A_WEEK):
            order = np.random.default_rng((number, draw)).permutation(len(changed))
            some = changed.iloc[order[:rows]]
            both = groups_alarmed(reference, some)
            found.append((any(both), alarms(weeks, profile(some, calm_weeks.KINDS))))
            block.append(number)
    return np.array(found), np.array(block)


def others(calm: list[pd.DataFrame], number: int) -> tuple[calm_weeks.Reference, list[Profile]]:
    """Return what a calm week is held against by either verdict: all the others."""
    rest = [week for place, week in enumerate(calm) if place != number]
    return calm_weeks.fit_reference(pd.concat(rest)), [
        profile(week, calm_weeks.KINDS) for week in rest
    ]


def shifted(name: str, far: float) -> Change:
    """Return a change that adds to a column."""
    return lambda rows: rows.assign(**{name: rows[name] + far})


def without(airport: str, share: float) -> Change:
    """Return a change that loses a share of an airport's flights."""

    def lose(rows: pd.DataFrame) -> pd.DataFrame:
        lost = np.random.default_rng(0).random(len(rows)) < share
        return rows[~(lost & (rows["origin"] == airport))]

    return lose


def groups_alarmed(reference: calm_weeks.Reference, week: pd.DataFrame) -> tuple[bool, bool]:
    """Return whether the weather drifted, and whether the rest did, in the loop's verdict."""
    moved = set(calm_weeks.drifted(calm_weeks.drift_scores(reference, week)))
    weather = set(reference.rolling.features)
    return bool(moved & weather), bool(moved - weather)


def alarms(weeks: Sequence[Profile], week: Profile) -> bool:
    """Return whether the command's verdict on all features alarms."""
    return any(
        one.drifted
        for one in calm_weeks.judge(calm_weeks.Group(calm_weeks.KINDS, tuple(weeks)), week)
    )


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from mlops_course.core.workspace import open_workspace
    from mlops_course.data.flights import load_flights

    for line in drifting(load_flights(open_workspace(Path(sys.argv[1])))):
        print(line.row(), flush=True)
