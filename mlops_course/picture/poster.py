"""A run as one still picture: a plain SVG that shows wherever images do.

It holds nothing that changes from run to run of the same settings: no durations, run ids or
registry versions; models are named by their order. It brings its own background and fonts.
"""

from collections.abc import Iterator
from textwrap import wrap

from markupsafe import Markup

from mlops_course.drawing import chart
from mlops_course.drawing.markup import at, element, icon, stylesheet, text
from mlops_course.pipeline.events import STAGES
from mlops_course.pipeline.state import RunState, cycle_of, stage_state
from mlops_course.telling import standing, wording
from mlops_course.telling.content import Bar, Card, Moved, card_of, moved_inputs

WIDTH = 960
MARGIN = 24
CARD = 110
GAP = 22
INPUTS_X = 672
BARS_X = 762
BARS_WIDTH = 114
BARS_Y = 292
BAR_STEP = 24
RIGHT = 936
SHOWN_INPUTS = 8
LOG_Y = 532
LOG_STEP = 17
LINE_LETTERS = 124
INPUTS_LETTERS = 40
MAX_ENTRIES = 12
_LEGEND_X = (40, 284, 350, 510)
_VERSIONED = ("register", "deploy")
_COLOURS = {"drifted": "#d55e00", "calm": "#999"}
_STYLE = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-size:12px;fill:#212121}
.h{font-size:15px;font-weight:600}.b{font-weight:600}.q,.mls-tick{fill:#555}.mono{font-family:
ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}.mls-tick,.mls-value{font-size:11px}
.mls-faint{opacity:.65}.card{fill:#fff;stroke:#cfcfcf}.arrow{stroke:#777;stroke-width:1.6;fill:none}
.mls-hollow,.mls-track{fill:none;stroke:#777;stroke-width:1.6}.mls-spin{fill:none;stroke:#0072b2;
stroke-width:2.4}.mls-cut{fill:none;stroke:#fff;stroke-width:1.9;stroke-linecap:round}
.mls-bars-two{stroke:#0072b2;stroke-width:3}.done{fill:#009e73}.bad{fill:#d55e00}.idle{fill:#999}
.mls-label,.mls-value{paint-order:stroke;stroke:#fff;stroke-width:4px}.mls-grid{stroke:#ddd}
.mls-threshold{stroke:#d55e00;stroke-width:1.6;stroke-dasharray:7 4}.mls-base{stroke:#777;
stroke-width:1.5;stroke-dasharray:2 3}.mls-line{stroke:#0072b2;stroke-width:2}.mls-whisker{
stroke:#212121;stroke-width:1.3;fill:none}.mls-change{stroke:#212121;stroke-width:1.2;
stroke-dasharray:1 3}.mls-dot path{fill:#0072b2;stroke:#fff}.mls-bad path{fill:#d55e00;stroke:#fff}
.mls-incident{fill:#e69f00;fill-opacity:.15}
"""


def render(state: RunState) -> Markup:
    """Return the whole picture as an SVG document."""
    lines = [
        text(line, MARGIN, LOG_Y + LOG_STEP * row, class_)
        for row, (line, class_) in enumerate(_log(state))
    ]
    height = LOG_Y + 8 + LOG_STEP * len(lines)
    background = element(
        "rect",
        x=0.5,
        y=0.5,
        width=WIDTH - 1,
        height=height - 1,
        rx=8,
        fill="#fff",
        stroke="#cfcfcf",
    )
    plot = element(
        "svg",
        chart.render(state, ordinal=True),
        x=66,
        y=246,
        width=500,
        height=chart.HEIGHT,
        overflow="visible",
    )
    return element(
        "svg",
        element("title", describe(state)),
        stylesheet(_STYLE),
        background,
        text(_title(state), MARGIN, 32, "h"),
        *_stages(state),
        *_loop(state),
        text("Production Monitoring: accuracy by week", MARGIN, 236, "h"),
        plot,
        *_legend(),
        *_inputs(state),
        *lines,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
    )


def describe(state: RunState) -> str:
    """Return the picture in words: the stages, the weeks, and what was found."""
    if state.started is None:
        return (
            "The pipeline simulator before a run: the stages Data, Validate, Train, Gate, "
            "Register, Deploy and Monitor, with a way back from Monitor to Data."
        )
    stages = ", ".join(f"{wording.stage_title(s)} {stage_state(state, s)}" for s in STAGES)
    return f"{_title(state)}. Stages: {stages}. {chart.describe(state)} {standing.verdict(state)}"


def _title(state: RunState) -> str:
    run = state.started
    if run is None:
        return "The pipeline simulator: run the notebook, then press Run pipeline"
    retrain = "retrained automatically" if run.retrain != "never" else "never retrained"
    return f"{wording.run_title(run)}, alert below {run.threshold:.0%}, {retrain}"


# ---- stages


def _stages(state: RunState) -> Iterator[Markup]:
    for place, stage in enumerate(STAGES):
        x = MARGIN + place * (CARD + GAP)
        if place:
            yield element("path", class_="arrow", d=f"M{x - 20} 101h15m-5 -4l5 4l-5 4")
        yield from _card(stage, card_of(state, stage), x)


def _card(stage: str, card: Card, x: int) -> Iterator[Markup]:
    colour = {"done": "done", "waiting": "idle", "running": "idle"}.get(card.state, "bad")
    yield element("rect", class_="card", x=x, y=52, width=CARD, height=98, rx=5)
    yield element("rect", class_=colour, x=x, y=52, width=CARD, height=4, rx=2)
    yield text(f"◇ {card.title}" if stage == "gate" else card.title, x + 9, 76, "b")
    yield element("g", icon(card.state, x=x + 9, y=84, width=13, height=13), class_=colour)
    yield text(card.state, x + 27, 95, "q")
    reached = card.cycle > 0
    if not (reached and stage in _VERSIONED):
        for row, line in enumerate(wrap(card.headline, 14)[:2]):
            yield text(line, x + 9, 113 + 14 * row, None if reached else "q")
    if card.repeated:
        yield text(card.repeated, x + 9, 143, "b")


def _loop(state: RunState) -> Iterator[Markup]:
    first = MARGIN + CARD / 2
    last = first + (len(STAGES) - 1) * (CARD + GAP)
    again = cycle_of(state) > 1
    yield element(
        "path",
        class_="arrow",
        d=f"M{last:g} 154v22q0 10 -10 10H{first + 10:g}q-10 0 -10 -10v-20m-4 5l4 -5l4 5",
        style="stroke:#0072b2;stroke-width:2.5" if again else None,
    )
    words = standing.way_back(state, with_weeks=False)
    wide = 7 * len(words) + 20
    yield element("rect", x=(WIDTH - wide) / 2, y=176, width=wide, height=20, fill="#fff")
    yield text(words, WIDTH / 2, 190, "b" if again else "q", "middle")


# ---- production monitoring


def _legend() -> Iterator[Markup]:
    for x, entry in zip(_LEGEND_X, chart.LEGEND, strict=True):
        yield at(x, 490, entry.mark)
        yield text(entry.words, x + 24, 500, "q")


def _inputs(state: RunState) -> Iterator[Markup]:
    yield text("Inputs that moved", INPUTS_X, 236, "h")
    moved = moved_inputs(state)
    if moved is None:
        yield text("No week has been scored yet.", INPUTS_X, 262, "q")
        return
    week = moved.week
    for row, line in enumerate(wrap(_explained(moved), INPUTS_LETTERS)):
        yield text(line, INPUTS_X, 256 + 15 * row, "q")
    shown = moved.bars[:SHOWN_INPUTS]
    for row, bar in enumerate(shown):
        yield from _bar(bar, BARS_Y + BAR_STEP * row)
    if week.findings:
        failed = f"{wording.counted(len(week.findings), 'data check')} failed"
        yield text(failed, INPUTS_X, 500, "b")
    if shown:
        line = f"M{BARS_X + BARS_WIDTH * moved.one:.1f} 286V{BARS_Y + BAR_STEP * len(shown)}"
        yield element("path", class_="arrow", d=line, stroke_dasharray="3 3")


def _explained(moved: Moved) -> str:
    """Return how to read the bars, in two short lines at most."""
    week = moved.week
    if not moved.bars:
        return f"week {week.number}. {wording.NOTHING_ANSWERED}"
    few = f", {wording.counted(week.answered, 'flight')} answered" if week.unanswered else ""
    return f"week {week.number}{few}; above 1.0 {wording.drift_promise(week)}"


def _bar(bar: Bar, y: int) -> Iterator[Markup]:
    yield text(bar.name, INPUTS_X, y + 10, "mono")
    yield element(
        "rect",
        x=BARS_X,
        y=y,
        width=f"{BARS_WIDTH * bar.length:.1f}",
        height=12,
        fill=_COLOURS["drifted" if bar.drifted else "calm"],
    )
    drifted = " drifted" if bar.drifted else ""
    yield text(f"{bar.score:.1f}{drifted}", RIGHT, y + 10, anchor="end")


# ---- log


def _log(state: RunState) -> Iterator[tuple[str, str | None]]:
    """Yield the alert log as lines with their classes."""
    told = [line for entry in state.log if (line := wording.still_line(state, entry))]
    for said in told[:MAX_ENTRIES]:
        first, *rest = wrap(said, LINE_LETTERS)
        yield first, None
        for line in rest:
            yield f"\u2003\u2003{line}", None
    if len(told) > MAX_ENTRIES:
        yield f"… and {len(told) - MAX_ENTRIES} more entries.", "q"
    if state.started is not None and state.status == "finished":
        for line in wrap(standing.verdict(state), LINE_LETTERS):
            yield line, "b"
