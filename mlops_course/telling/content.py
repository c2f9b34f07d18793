"""What the simulator's parts hold, as small records: the page and the still picture render these.

Computed here once; `views` and `poster` decide only how it looks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isnan

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import (
    RunState,
    StageRecord,
    alerts_of,
    can_tell,
    has_accuracy,
    record_of,
    stage_state,
    threshold_of,
)
from mlops_course.telling import standing, wording
from mlops_course.telling.wording import counted, percent

NO_FIGURE = "–"
ACCURACY = "Accuracy"
RULE = "Rule dep_delay > 15"
CALLED_LATE = "Called late"
CONFIDENCE = "Own confidence"
SERVICE = "Service"


@dataclass(frozen=True)
class Risk:
    """What can go wrong at a stage.

    Attributes
    ----------
    words
        The trouble, in a sentence.
    show
        The settings of a run in which it happens, as a line; empty where no scenario has it.
    look
        Where to look in that run.
    """

    words: str
    show: str = ""
    look: str = ""


@dataclass(frozen=True)
class Stage:
    """What the course says about a stage, the same for every run.

    Attributes
    ----------
    code
        The stage by hand, to be run after that of the stages before it.
    """

    short: str
    purpose: str
    tools: tuple[str, ...]
    risks: tuple[Risk, ...]
    code: str


@cache
def stage_texts() -> Mapping[str, Stage]:
    """Return the texts of all stages by name, from ``texts/stages.json``."""
    return {
        name: Stage(
            entry["short"],
            entry["purpose"],
            tuple(entry["tools"]),
            tuple(Risk(**risk) for risk in entry["risks"]),
            "\n".join(entry["code"]),
        )
        for name, entry in json.loads(_text("stages.json")).items()
    }


@cache
def meanings() -> Mapping[str, str]:
    """Return what the figures mean, by their names, from ``texts/words.json``."""
    return dict(json.loads(_text("words.json")))


def _text(name: str) -> str:
    return files("mlops_course.telling").joinpath("texts", name).read_text(encoding="utf-8")


# ---- stages of a run


@dataclass(frozen=True)
class Card:
    """What the picture says of one stage of a run.

    Attributes
    ----------
    title, headline
        The stage's name, and the one thing to know of it.
    state
        As `state.stage_state` returns it.
    cycle
        The latest cycle that reached it; 0 before the first.
    took
        The seconds it took; empty until it ended.
    """

    title: str
    state: str
    headline: str
    cycle: int
    took: str

    @property
    def repeated(self) -> str:
        """Which cycle it is, from the second on: ``cycle 2``."""
        return f"cycle {self.cycle}" if self.cycle > 1 else ""


def card_of(state: RunState, stage: str) -> Card:
    """Return what to show of a stage."""
    record = record_of(state, stage)
    return Card(
        wording.stage_title(stage),
        stage_state(state, stage),
        _headline(state, stage, record),
        cycle=record.cycle if record else 0,
        took=f"{record.seconds:.2f} s" if record and record.state != "running" else "",
    )


def _headline(state: RunState, stage: str, record: StageRecord | None) -> str:
    if record is None:
        return stage_texts()[stage].short
    if stage == "monitor" and record.state == "running" and state.weeks:
        return standing.week_reached(state)
    return record.headline or record.message


# ---- inputs that moved


@dataclass(frozen=True)
class Bar:
    """One input's drift score, as a bar.

    Attributes
    ----------
    length
        The score as a share of the longest bar's room.
    drifted
        Whether it is above 1.
    """

    name: str
    score: float
    length: float
    drifted: bool


@dataclass(frozen=True)
class Moved:
    """The inputs of the latest week, most moved first; no bars if none of it was answered.

    Attributes
    ----------
    one
        Where a score of 1 lies, as a share of the longest bar's room.
    """

    week: WeekScored
    bars: tuple[Bar, ...]
    one: float


def moved_inputs(state: RunState) -> Moved | None:
    """Return the latest week's inputs, ranked; None before the first week."""
    if not state.weeks:
        return None
    week = state.weeks[-1]
    ranked = sorted(week.drift.items(), key=lambda item: -item[1])
    top = max([2.0, *week.drift.values()])
    bars = [Bar(name, score, score / top, name in week.drifted) for name, score in ranked]
    return Moved(week, tuple(bars), 1 / top)


# ---- the latest week in figures


@dataclass(frozen=True)
class Tile:
    """One figure of the latest week, with a note; ``bad`` marks what needs somebody."""

    name: str
    value: str = NO_FIGURE
    note: str = ""
    bad: bool = False


def tiles_of(state: RunState) -> tuple[Tile, ...]:
    """Return what the tiles say, from the accuracy to the service."""
    if not state.weeks:
        return tuple(Tile(name) for name in (ACCURACY, RULE, CALLED_LATE, CONFIDENCE, SERVICE))
    week = state.weeks[-1]
    return (
        _accuracy_tile(state, week),
        _rule_tile(week),
        _late_tile(week),
        _confidence_tile(week),
        _service_tile(week),
    )


def _accuracy_tile(state: RunState, week: WeekScored) -> Tile:
    if not has_accuracy(week):
        return Tile(ACCURACY, note=wording.why_unknown(week))
    few = f"of {counted(week.labelled, 'flight')}; " if week.unanswered else ""
    line = f"{threshold_of(state):.0%}"
    note = f"{few}{wording.why_unknown(week)}, alert below {line}"
    if can_tell(week):
        note = f"{few}upper bound {week.upper:.1%}: alert if even that is below {line}"
    if not week.watched:
        note = f"{few}the rules were not evaluated for this week"
    bad = any(alert.rule == ACCURACY_RULE for alert in alerts_of(state, week.week))
    return Tile(ACCURACY, f"{week.accuracy:.1%}", note, bad)


def _rule_tile(week: WeekScored) -> Tile:
    lead = (week.accuracy - week.baseline_accuracy) * 100
    note = f"the model is {abs(lead):.1f} points {'better' if lead >= 0 else 'worse'}"
    return Tile(
        RULE,
        percent(week.baseline_accuracy, NO_FIGURE),
        wording.why_unknown(week) if isnan(lead) else note,
    )


def _late_tile(week: WeekScored) -> Tile:
    note = f"were late: {percent(week.observed_late)}"
    return Tile(CALLED_LATE, percent(week.predicted_late, NO_FIGURE), note)


def _confidence_tile(week: WeekScored) -> Tile:
    gap = (week.confidence - week.accuracy) * 100
    note = f"{abs(gap):.1f} points {'above' if gap >= 0 else 'below'} the truth"
    return Tile(
        CONFIDENCE,
        percent(week.confidence, NO_FIGURE),
        wording.why_unknown(week) if isnan(gap) else note,
    )


def _service_tile(week: WeekScored) -> Tile:
    latency = NO_FIGURE if isnan(week.latency_ms) else f"{week.latency_ms:.0f} ms"
    unlabelled = 1 - week.labelled / max(week.rows, 1)
    flights = f"{week.rows:,} flights, {unlabelled:.1%} without label"
    if week.unanswered:
        flights = wording.unanswered(week)
    note = f"a request (median), {counted(week.errors, 'error')}; {flights}"
    return Tile(SERVICE, latency, note, bad=week.errors > 0 or week.unanswered > 0)
