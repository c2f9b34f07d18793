"""The pipeline drawn as a loop: seven stages, the way back, and what last went along each arrow.

The upper lane builds a model and the lower one is production. The style sheet lays the stages out
and moves the batches; here stands what they are, each from the run's events.
"""

from dataclasses import dataclass
from math import pi, sqrt

from markupsafe import Markup

from mlops_course.drawing.markup import element, icon
from mlops_course.pipeline.events import REFUSED
from mlops_course.pipeline.state import RunState, StageRecord, cycle_of, record_of
from mlops_course.telling import standing
from mlops_course.telling.content import card_of

# Flights of a batch whose disc is as wide as it may be, and that width and the least, in pixels.
FULL_FLIGHTS = 65_000
FULL_WIDTH = 28.0
LEAST_WIDTH = 7.0
_WIDER = {"drifted": sqrt(pi / 2), "failed": sqrt(pi / 2)}  # half a square, and as large as a disc
_MODEL_ARROWS = ("gate", "register", "deploy")  # a model comes to them, and no flights


@dataclass(frozen=True)
class Batch:
    """What went along an arrow.

    Attributes
    ----------
    key
        Changes with each batch, so that the page lets a new one move.
    kind
        ``calm``, ``drifted`` or ``failed`` for flights; ``model`` or ``refused`` for a model.
    flights
        How many flights it holds; 0 for a model.
    """

    key: str
    kind: str
    flights: int = 0

    @property
    def width(self) -> float:
        """How wide its mark is, in pixels: its area goes by the number of flights."""
        if not self.flights:
            return 2 * LEAST_WIDTH
        wide = FULL_WIDTH * sqrt(self.flights / FULL_FLIGHTS)
        return min(max(wide, LEAST_WIDTH), FULL_WIDTH) * _WIDER.get(self.kind, 1.0)


def step(state: RunState, stage: str) -> Markup:
    """Return one stage with the arrow that leads to it."""
    card = card_of(state, stage)
    again = element("span", card.repeated, class_="mls-cycle") if card.repeated else ""
    button = element(
        "button",
        element("span", card.title, class_="mls-name"),
        element("span", icon(card.state), element("span", card.state), class_="mls-state"),
        element("span", card.headline, class_="mls-headline"),
        element("span", card.took, again, class_="mls-took"),
        type="button",
        class_="mls-stage",
        data_stage=stage,
    )
    return element(
        "div",
        _arrow(arriving(state, stage)),
        button,
        class_="mls-step",
        data_stage=stage,
        data_state=card.state,
        data_cycle=card.cycle,
    )


def way_back(state: RunState) -> Markup:
    """Return what leads from Monitor back to Data."""
    return element(
        "div",
        _arrow(returning(state)),
        element("p", standing.way_back(state)),
        class_="mls-back",
        data_cycle=cycle_of(state),
    )


def legend(state: RunState) -> Markup:
    """Return what the batches mean, with the numbers of this run."""
    told = [
        ("calm", "flights, no input moved"),
        ("drifted", "an input moved"),
        ("failed", "a data check failed, or flights unanswered"),
        ("model", "a model"),
    ]
    shown = [element("li", _mark(Batch(kind, kind)), words) for kind, words in told]
    return element("ul", *shown, element("li", _sizes(state)), class_="mls-legend mls-batches")


def arriving(state: RunState, stage: str) -> Batch | None:
    """Return what last came to a stage; None before, and for Data, to which the way back leads."""
    record = record_of(state, stage)
    if record is None or stage == "data":
        return None
    key = f"{stage}-{record.cycle}"
    if stage == "monitor":
        return _latest_week(state)
    if stage in _MODEL_ARROWS:
        refused = stage == "gate" and record.headline == REFUSED
        return Batch(key, "refused" if refused else "model")
    return _training_batch(state, key, record.cycle)


def returning(state: RunState) -> Batch | None:
    """Return the flights that the latest cycle learns from; None in the first."""
    cycle = cycle_of(state)
    return _training_batch(state, f"back-{cycle}", cycle) if cycle > 1 else None


def _latest_week(state: RunState) -> Batch | None:
    if not state.weeks:
        return None
    week = state.weeks[-1]
    failed = week.unanswered or week.findings
    kind = "failed" if failed else "drifted" if week.drifted else "calm"
    return Batch(f"week-{week.number}", kind, week.rows)


def _training_batch(state: RunState, key: str, cycle: int) -> Batch | None:
    record = _data_record(state, cycle)
    if record is None or record.state != "done":
        return None
    mondays = str(record.metrics.get("weeks", ""))
    drifted = any(week.drifted and week.week in mondays for week in state.weeks)
    return Batch(key, "drifted" if drifted else "calm", _flights(record))


def _data_record(state: RunState, cycle: int) -> StageRecord | None:
    of_data = (record for record in state.records if record.stage == "data")
    return next((record for record in of_data if record.cycle == cycle), None)


def _flights(record: StageRecord) -> int:
    return int(record.metrics.get("training flights", 0))


def _sizes(state: RunState) -> str:
    first = _data_record(state, 1)
    if first is None or not _flights(first) or not state.weeks:
        return "The area is the number of flights."
    week = state.weeks[-1]
    return (
        f"The area is the number of flights: {_flights(first):,} of winter, {week.rows:,} of week "
        f"{week.number}."
    )


def _arrow(batch: Batch | None) -> Markup:
    moved = _mark(batch) if batch else ""
    return element("span", moved, class_="mls-arrow", aria_hidden="true")


def _mark(batch: Batch) -> Markup:
    return element(
        "i",
        class_="mls-batch",
        data_key=batch.key,
        data_kind=batch.kind,
        style=f"--d:{batch.width:.1f}px",
    )
