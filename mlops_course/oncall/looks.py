"""What can be looked at on call, one function a page: each shows what was written down, no truth.

A page has lines to read, a table where there is one, and the same in `facts`, for whoever plays by
program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from mlops_course.data.incidents import FEED
from mlops_course.drift.calm_weeks import KINDS, drift_scores
from mlops_course.drift.causes import change_day
from mlops_course.monitoring.windows import Window
from mlops_course.oncall.state import ANSWER, DAY, Drill
from mlops_course.shifts.plans import Planned, Reply
from mlops_course.shifts.prices import LOOKS
from mlops_course.shifts.worlds import described
from mlops_course.training.evaluation import baseline
from mlops_course.training.model import called_late

SHOWN_DAYS = 14
WEEK_DAYS = 7
CHANGE_DAYS = 28
ROWS = 6
LABEL_DAYS = 3  # younger days have few labels


@dataclass(frozen=True)
class Look:
    """A page: its title, lines, a table, and the same as facts by name."""

    name: str
    lines: tuple[str, ...]
    table: pd.DataFrame | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """Its name for people."""
        return LOOKS[self.name].title


def overview(drill: Drill) -> Look:
    """Show the dashboard's last days."""
    days = drill.monitor.days[-SHOWN_DAYS:]
    table = pd.DataFrame([vars(one) for one in days])
    evaluated = drill.monitor.evaluated
    age = (drill.today - evaluated).days if evaluated else None
    lines = [
        f"The rules were last looked at on {evaluated}." if evaluated else "Nothing yet.",
        f"Version {drill.champion} is the champion"
        + (", and traffic is held: the rule answers." if drill.held else "."),
    ]
    return Look("overview", tuple(lines), table, {"days": days, "age": age, "held": drill.held})


def weeks(drill: Drill) -> Look:
    """Show the dashboard's weeks."""
    found = drill.monitor.weeks[-SHOWN_DAYS:]
    table = pd.DataFrame([{**vars(one), "drift": len(_drifted(one.drift))} for one in found])
    return Look(
        "weeks", (f"{len(found)} weeks whose labels should be in.",), table, {"weeks": found}
    )


def slices(drill: Drill) -> Look:
    """Show a week of flights by airport and by airline, as far as their labels are in."""
    window = _window(drill, WEEK_DAYS + LABEL_DAYS)
    if window is None:
        return _nothing("slices")
    flights = window.answered
    late = flights["late"]
    right = (called_late(flights["probability"]) == (late == 1)).where(late.notna())
    told = flights.assign(
        right=right.astype("float64"),
        rule=(baseline(flights) == (late == 1)).astype("float64").where(late.notna()),
        called=called_late(flights["probability"]).astype("float64"),
    )
    parts = []
    for column in ("origin", "carrier"):
        grouped = told.groupby(told[column].astype("str"))
        part = grouped[["right", "rule", "called", "late"]].mean()
        parts.append(part.assign(flights=grouped.size(), of=column))
    table = pd.concat(parts).rename_axis("slice").reset_index()
    table = table[table["flights"] >= 100]
    return Look("slices", (f"{len(flights):,} flights of {window.name}.",), table, {"table": table})


def drift(drill: Drill) -> Look:
    """Compare the inputs of the last seven days with calm weeks."""
    window = _window(drill, WEEK_DAYS)
    if window is None:
        return _nothing("drift")
    scores = drift_scores(drill.monitor.reference, window.answered)
    moved = _drifted(scores)
    table = pd.Series(scores, name="score").rename_axis("input").reset_index()
    table = table.sort_values("score", ascending=False, ignore_index=True)
    said = f"Stranger than any calm week: {', '.join(moved)}." if moved else "Nothing stands out."
    return Look("drift", (said,), table, {"scores": scores, "moved": moved})


def change(drill: Drill) -> Look:
    """Find the day since which the strangest input is otherwise."""
    window = _window(drill, WEEK_DAYS)
    longer = _window(drill, CHANGE_DAYS)
    if window is None or longer is None:
        return _nothing("change")
    scores = drift_scores(drill.monitor.reference, window.answered)
    if not scores:
        return _nothing("change")
    name = max(scores, key=lambda one: scores[one])
    flights = longer.answered
    days = flights["date"].to_numpy()
    found = change_day(flights[name], days, longer.start.date(), KINDS[name])
    since = found.day if found else None
    said = f"{name} is otherwise since {since}." if since else f"{name} has no day of change."
    return Look("change", (said,), None, {"input": name, "since": since})


def registry(drill: Drill) -> Look:
    """Show the promotion log."""
    table = pd.DataFrame([vars(move) for move in drill.system.moves()])
    newest = table.iloc[-1]
    said = f"Newest: version {newest['version']} {newest['action']} on {newest['day']} "
    said += f"by {newest['who']}."
    return Look("registry", (said,), table, {"moves": list(drill.system.moves())})


def service(drill: Drill) -> Look:
    """Show a week of requests by version."""
    window = _window(drill, WEEK_DAYS)
    if window is None:
        return _nothing("service")
    requests = window.requests
    refused = requests[requests["failure"] != ""]
    grouped = requests[requests["version"] != ""].groupby("version")
    table = grouped.agg(requests=("rows", "size"), flights=("rows", "sum"), ms=("ms", "median"))
    table = table.reset_index()
    reasons = refused["failure"].value_counts().to_dict()
    told = [f"{count} requests refused: {why}" for why, count in reasons.items()]
    speeds = dict(zip(table["version"], table["ms"], strict=True))
    facts = {"refused": len(refused), "reasons": reasons, "ms": speeds}
    return Look("service", tuple(told) or ("No request was refused.",), table, facts)


def rows(drill: Drill) -> Look:
    """Show what was delivered yesterday, by airport, beside what training had."""
    flights = drill.served[-1].flights if drill.served else None
    if flights is None or flights.empty:
        return _nothing("rows")
    parts = {"training": drill.world.learned}
    for airport, part in flights.groupby(flights["origin"].astype("str")):
        parts[str(airport)] = described(part)
    parts["all"] = described(flights)
    table = pd.DataFrame(parts).rename_axis("figure").reset_index()
    known = drill.world.champion.model.vocabulary["carrier"]
    unknown = sorted(set(flights["carrier"].astype("str")) - set(known))
    lines = [f"{len(flights):,} flights of {drill.served[-1].day}."]
    if unknown:
        lines.append(f"Airlines that training has not seen: {', '.join(unknown)}.")
    sample = flights.sample(min(ROWS, len(flights)), random_state=0)
    facts = {"by": parts, "unknown": unknown, "sample": sample}
    return Look("rows", tuple(lines), table, facts)


def upstream(drill: Drill) -> Look:
    """Ask the owners of the feed whether they changed something."""
    there = drill.present(drill.today)
    reply = there[-1].reply if there else Reply()
    due = drill.order(reply.days, "upstream answers", asked=drill.today)
    return Look("upstream", (f"They were asked, and answer on {due}.",), None, {"due": due})


def _upstream_answers(drill: Drill, asked: date) -> None:
    there = drill.present(asked)
    mistaken = bool(there) and not there[-1].reply.honest
    broken = [one for one in there if one.incident.owner == FEED]
    says_so = bool(broken) != mistaken
    drill.replies.append((drill.today, says_so))
    drill.tell(ANSWER, f"Upstream: {_said(broken, says_so)}")


def _said(broken: list[Planned], says_so: bool) -> str:
    if not says_so:
        return "nothing has changed on our side."
    if not broken:
        return "we did change something these days; it may be that."
    return f"yes. {broken[-1].incident.story}"


EFFECTS: Mapping[str, Callable[..., None]] = {"upstream answers": _upstream_answers}

LOOK_AT: Mapping[str, Callable[[Drill], Look]] = {
    "overview": overview,
    "weeks": weeks,
    "slices": slices,
    "drift": drift,
    "change": change,
    "registry": registry,
    "service": service,
    "rows": rows,
    "upstream": upstream,
}


def _window(drill: Drill, days: int) -> Window | None:
    """Return the last so many days as they were written down; None if nothing was."""
    first = drill.today - days * DAY
    served = [one for one in drill.served if one.day >= first and not one.requests.empty]
    return drill.system.window(served, drill.today) if served else None


def _drifted(scores: Mapping[str, float]) -> list[str]:
    return sorted((name for name, score in scores.items() if score > 1), key=scores.get)[::-1]  # type: ignore[arg-type]


def _nothing(name: str) -> Look:
    return Look(name, ("Nothing was written down yet.",))
