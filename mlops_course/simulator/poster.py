"""A run as one still picture: a plain SVG that shows wherever images do.

It holds nothing that changes from run to run of the same settings: no durations, run ids or
registry versions; models are named by their order. It brings its own background and fonts.
"""

import re
from collections.abc import Iterator
from html import escape
from textwrap import wrap

from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
)
from mlops_course.pipeline.state import (
    RunState,
    cycle_of,
    jumped,
    record_of,
    stage_state,
    usual_drift,
)
from mlops_course.simulator import chart
from mlops_course.simulator.views import headline, icon, stage_texts, verdict, week_list

WIDTH = 960
CARD = 110
GAP = 22
LINE_LETTERS = 124
MAX_ENTRIES = 12
_VERSIONED = ("register", "deploy")
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


def render(state: RunState) -> str:
    """Return the whole picture as an SVG document."""
    log = list(_log(state))
    height = 540 + 17 * len(log)
    body = [
        f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#fff" '
        'stroke="#cfcfcf"/>',
        _text(24, 32, _title(state), "h"),
        *_stages(state),
        *_loop(state),
        _text(24, 236, "Production Monitoring: accuracy by week", "h"),
        f'<svg x="66" y="246" width="500" height="{chart.HEIGHT}" overflow="visible">'
        f"{chart.accuracy_chart(state, ordinal=True)}</svg>",
        *_legend(),
        *_inputs(state),
        *(_text(24, 532 + 17 * row, line, name) for row, (line, name) in enumerate(log)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img"><title>{escape(describe(state))}</title>'
        f"<style>{_STYLE}</style>{''.join(body)}</svg>"
    )


def describe(state: RunState) -> str:
    """Return the picture in words: the stages, the weeks, and what was found."""
    if state.started is None:
        return (
            "The pipeline simulator before a run: the stages Data, Validate, Train, Gate, "
            "Register, Deploy and Monitor, with a way back from Monitor to Data."
        )
    stages = ", ".join(f"{stage_texts()[s].title} {stage_state(state, s)}" for s in STAGES)
    return f"{_title(state)}. Stages: {stages}. {chart.describe(state)} {verdict(state)}"


def _title(state: RunState) -> str:
    run = state.started
    if run is None:
        return "The pipeline simulator: run the notebook, then press Run pipeline"
    retrain = "retrained automatically" if run.retrain == "auto" else "never retrained"
    return (
        f"{run.title}: {run.weeks} weeks, seed {run.seed}, alert below {run.threshold:.0%}, "
        f"{retrain}"
    )


def _text(x: float, y: float, words: str, name: str = "", anchor: str = "start") -> str:
    extra = f' class="{name}"' if name else ""
    extra += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{extra}>{escape(words)}</text>'


def _stages(state: RunState) -> Iterator[str]:
    for place, stage in enumerate(STAGES):
        x = 24 + place * (CARD + GAP)
        now = stage_state(state, stage)
        record = None
        record = record_of(state, stage)
        colour = {"done": "done", "waiting": "idle", "running": "idle"}.get(now, "bad")
        if place:
            yield f'<path class="arrow" d="M{x - 20} 101h15m-5 -4l5 4l-5 4"/>'
        yield f'<rect class="card" x="{x}" y="52" width="{CARD}" height="98" rx="5"/>'
        yield f'<rect class="{colour}" x="{x}" y="52" width="{CARD}" height="4" rx="2"/>'
        name = stage_texts()[stage].title
        yield _text(x + 9, 76, f"◇ {name}" if stage == "gate" else name, "b")
        drawn = icon(now).replace("<svg ", f'<svg x="{x + 9}" y="84" width="13" height="13" ')
        yield f'<g class="{colour}">{drawn}</g>'
        yield _text(x + 27, 95, now, "q")
        if record is None or stage not in _VERSIONED:
            for row, line in enumerate(wrap(headline(state, stage), 14)[:2]):
                yield _text(x + 9, 113 + 14 * row, line, "" if record else "q")
        if record and record.cycle > 1:
            yield _text(x + 9, 143, f"cycle {record.cycle}", "b")


def _loop(state: RunState) -> Iterator[str]:
    first = 24 + CARD / 2
    last = 24 + 6 * (CARD + GAP) + CARD / 2
    again = cycle_of(state) > 1
    style = ' style="stroke:#0072b2;stroke-width:2.5"' if again else ""
    yield (
        f'<path class="arrow" d="M{last} 154v22q0 10 -10 10H{first + 10}q-10 0 -10 -10v-20'
        f'm-4 5l4 -5l4 5"{style}/>'
    )
    words = (
        f"cycle {cycle_of(state)}: retrained" if again else "retrain when production calls for it"
    )
    wide = 7 * len(words) + 20
    yield f'<rect x="{(WIDTH - wide) / 2}" y="176" width="{wide}" height="20" fill="#fff"/>'
    yield _text(WIDTH / 2, 190, words, "b" if again else "q", "middle")


def _legend() -> Iterator[str]:
    y = 500
    yield f'<svg x="71" y="{y - 4}" overflow="visible"><g class="mls-dot"><path d="M-4.5 0a4.5 4.5 '
    yield '0 1 0 9 0a4.5 4.5 0 1 0 -9 0"/></g></svg>'
    yield _text(84, y, "accuracy, upper 95% bound", "q")
    yield f'<svg x="270" y="{y - 4}" overflow="visible"><g class="mls-bad">'
    yield '<path d="M0 6L-6 -5H6Z"/></g></svg>'
    yield _text(282, y, "alert", "q")
    yield f'<path class="mls-base" d="M324 {y - 4}h22"/>'
    yield _text(352, y, "rule dep_delay > 15", "q")
    yield f'<rect class="mls-incident" x="486" y="{y - 11}" width="20" height="14"/>'
    yield _text(512, y, "incident (ground truth)", "q")


def _inputs(state: RunState) -> Iterator[str]:
    yield _text(672, 236, "Inputs that moved", "h")
    if not state.weeks:
        yield _text(672, 262, "No week has been scored yet.", "q")
        return
    week = state.weeks[-1]
    usual = usual_drift(state)
    new = jumped(state, week)
    ranked = sorted(week.drift.items(), key=lambda item: -item[1])[:8]
    top = max(2.0, ranked[0][1] if ranked else 0, *usual.values(), 0)
    yield _text(672, 256, f"week {week.number}; 1.0 = edge of what training", "q")
    yield _text(672, 271, "weeks do to each other; | usual score", "q")
    for row, (name, score) in enumerate(ranked):
        y = 292 + 24 * row
        colour = "#d55e00" if name in new else "#0072b2" if score > 1 else "#999"
        yield _text(672, y + 10, name, "mono")
        yield f'<rect x="762" y="{y}" width="{120 * score / top:.1f}" height="12" fill="{colour}"/>'
        if usual.get(name):
            x = 762 + 120 * usual[name] / top
            yield f'<path d="M{x:.1f} {y - 3}v18" stroke="#212121" stroke-width="3"/>'
        yield _text(936, y + 10, f"{score:.1f}{' new' if name in new else ''}", "", "end")
    if week.findings:
        failed = f"{len(week.findings)} data check{'s' if len(week.findings) > 1 else ''} failed"
        yield _text(672, 500, failed, "b")
    x = 762 + 120 / top
    yield f'<path d="M{x:.1f} 286V{292 + 24 * len(ranked)}" class="arrow" stroke-dasharray="3 3"/>'


def _log(state: RunState) -> Iterator[tuple[str, str]]:
    """Yield the alert log as lines with their classes."""
    numbers = {week.week: week.number for week in state.weeks}
    told = [entry for entry in state.log if not isinstance(entry, Notified)]
    for entry in told[:MAX_ENTRIES]:
        when = f"Week {numbers[entry.week]}" if entry.week in numbers else "Before production"
        words = re.sub(r"\bversion \d+", "the champion", _said(state, entry))
        for row, line in enumerate(wrap(f"{when}. {words}", LINE_LETTERS)):
            yield (line if row == 0 else f"\u2003\u2003{line}", "")
    if len(told) > MAX_ENTRIES:
        yield (f"… and {len(told) - MAX_ENTRIES} more entries.", "q")
    if state.started is not None and state.status == "finished":
        for line in wrap(verdict(state), LINE_LETTERS):
            yield (line, "b")


def _said(state: RunState, entry: AlertRaised | Retrained | Rejected | Promoted) -> str:
    match entry:
        case AlertRaised():
            return f"▼ Alert: {entry.message}"
        case Retrained():
            return f"↻ Retrained on {entry.rows:,} flights of {week_list(entry.weeks)}."
        case Rejected():
            return f"Refused: {entry.reason}"
        case Promoted():
            name = chart.version_name(state, entry.to_version, ordinal=True)
            return f"Promoted {name}: {entry.reason}"
