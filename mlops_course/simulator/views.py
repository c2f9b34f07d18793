"""How a run looks: pure functions from a state to the HTML of the simulator's parts.

Everything that comes from outside is escaped here. The page's script only puts these texts
in place; the controls and the thread that drives a run live in `simulator`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from mlops_course.pipeline.events import STAGES, AlertRaised, Retrained
from mlops_course.pipeline.state import (
    RunState,
    StageRecord,
    cycle_of,
    jumped,
    outcome,
    record_of,
    running_stage,
    stage_state,
    usual_drift,
)
from mlops_course.simulator.chart import HEIGHT, accuracy_chart, day, describe, threshold_of

SHOWN_INPUTS = 7
_ICONS = {
    "waiting": '<circle cx="8" cy="8" r="5.5" class="mls-hollow"/>',
    "running": '<circle cx="8" cy="8" r="5.5" class="mls-track"/>'
    '<path d="M8 2.5A5.5 5.5 0 0 1 13.5 8" class="mls-spin"/>',
    "paused": '<path d="M5 2.5V13.5M11 2.5V13.5" class="mls-bars-two"/>',
    "done": '<circle cx="8" cy="8" r="7" class="mls-solid"/>'
    '<path d="M4.6 8.2L7 10.6L11.4 5.8" class="mls-cut"/>',
    "failed": '<rect x="1.5" y="1.5" width="13" height="13" rx="2" class="mls-solid"/>'
    '<path d="M5 5L11 11M11 5L5 11" class="mls-cut"/>',
    "alert": '<path d="M8 15L.8 2H15.2Z" class="mls-solid"/>'
    '<path d="M8 4.6V8.4M8 10.6V11.2" class="mls-cut"/>',
    "refused": '<path d="M8 .8L15.2 8L8 15.2L.8 8Z" class="mls-solid"/>'
    '<path d="M5 8H11" class="mls-cut"/>',
}


@dataclass(frozen=True)
class Stage:
    """What the course says about a stage, the same for every run."""

    title: str
    short: str
    purpose: str
    tools: tuple[str, ...]
    risks: tuple[str, ...]
    code: str


@cache
def stage_texts() -> Mapping[str, Stage]:
    """Return the texts of all stages by name, from ``static/stages.json``."""
    text = (
        files("mlops_course.simulator").joinpath("static/stages.json").read_text(encoding="utf-8")
    )
    return {
        name: Stage(
            entry["title"],
            entry["short"],
            entry["purpose"],
            tuple(entry["tools"]),
            tuple(entry["risks"]),
            "\n".join(entry["code"]),
        )
        for name, entry in json.loads(text).items()
    }


# ---- status line


def status(state: RunState) -> str:
    """Return where the run stands, as one plain sentence."""
    match state.status:
        case "idle":
            return "Nothing has run yet. Press Run pipeline, or choose a stage to see what it does."
        case "failed":
            return f"Stopped. {state.error}"
        case "finished":
            return f"Finished in {state.seconds or 0:.1f} s. {verdict(state)}"
        case "paused":
            return f"Paused: {_place(state)}. Press Continue or Step; Reset starts over."
        case _ if state.started is None:
            return "Starting: opening the store and the scoring service."
        case _:
            return f"Running: {_place(state)}."


def spoken(state: RunState) -> str:
    """Return the status for screen readers, which changes with stages and alerts, not weeks."""
    now = running_stage(state)
    if state.status != "running" or now is None or now.stage != "monitor":
        return status(state)
    alerts = [entry for entry in state.log if isinstance(entry, AlertRaised)]
    return alerts[-1].message if alerts else "Running: monitoring production."


def verdict(state: RunState) -> str:
    """Return what monitoring found, with the accuracy before, at and after the alert."""
    if not state.weeks:
        return "No week of production was scored."
    found = outcome(state)
    if found.at_alert is None:
        return f"No alert in {len(state.weeks)} weeks; mean accuracy {found.before or 0:.1%}."
    first = next(week for week in state.weeks if week.alert)
    models = len({week.model_version for week in state.weeks})
    alarms = sum(week.alert for week in state.weeks)
    before = f"{found.before:.1%} before, " if found.before is not None else ""
    if models > 2 or found.recovered is None:
        after = f"{alarms} of {len(state.weeks)} weeks raised one (mean {found.alarmed:.1%})"
        after += f", {models} models served in turn" if models > 1 else ""
    else:
        after = f"after retraining {found.recovered:.1%}"
        if found.otherwise is not None:
            after += f", where the old model would have had {found.otherwise:.1%}"
    return f"First alert in week {first.number}: {before}{found.at_alert:.1%} that week; {after}."


def _place(state: RunState) -> str:
    now = running_stage(state)
    if now is None:
        ended = state.records[-1] if state.records else None
        return f"after {_title(ended.stage)}" if ended else "at the start"
    cycle = f" (cycle {now.cycle})" if now.cycle > 1 else ""
    if now.stage == "monitor" and state.weeks and state.started:
        return f"Monitor{cycle}, week {state.weeks[-1].number} of {state.started.weeks}"
    return f"{_title(now.stage)}{cycle}"


def _title(stage: str) -> str:
    return stage_texts()[stage].title


# ---- stage strip


def strip(state: RunState) -> str:
    """Return the seven stages with their states, and the way back from Monitor to Data."""
    stages = "".join(_stage(state, stage) for stage in STAGES)
    return f'<ol class="mls-stages">{stages}</ol>{_loop(state)}'


def icon(name: str) -> str:
    """Return a state's shape as inline SVG; its word stands beside it."""
    return f'<svg class="mls-icon" viewBox="0 0 16 16" aria-hidden="true">{_ICONS[name]}</svg>'


def _stage(state: RunState, stage: str) -> str:
    now = stage_state(state, stage)
    record = record_of(state, stage)
    cycle = record.cycle if record else 0
    took = f"{record.seconds:.2f} s" if record and record.state != "running" else ""
    again = f'<span class="mls-cycle">cycle {cycle}</span>' if cycle > 1 else ""
    return (
        f'<li class="mls-step" data-stage="{stage}" data-state="{now}" data-cycle="{cycle}">'
        f'<span class="mls-arrow" aria-hidden="true"><i></i><i></i><i></i></span>'
        f'<button type="button" class="mls-stage" data-stage="{stage}">'
        f'<span class="mls-name">{escape(_title(stage))}</span>'
        f'<span class="mls-state">{icon(now)}<span>{now}</span></span>'
        f'<span class="mls-headline">{escape(headline(state, stage))}</span>'
        f'<span class="mls-took">{took}{again}</span></button></li>'
    )


def headline(state: RunState, stage: str) -> str:
    """Return the one thing to know of a stage; what it is about while the run is elsewhere."""
    record = record_of(state, stage)
    if record is None:
        return stage_texts()[stage].short
    if stage == "monitor" and record.state == "running" and state.weeks and state.started:
        return f"week {state.weeks[-1].number} of {state.started.weeks}"
    return record.headline or record.message


def _loop(state: RunState) -> str:
    cycle = cycle_of(state)
    words = "retrain when production calls for it"
    if cycle > 1:
        done = [entry for entry in state.log if isinstance(entry, Retrained)]
        words = f"cycle {cycle}: retraining on new weeks"
        if len(done) == cycle - 1:
            words = f"cycle {cycle}: retrained on {week_list(done[-1].weeks)}"
    return (
        f'<div class="mls-loop" data-cycle="{cycle}"><i></i><i></i><i></i>'
        f"<span>{escape(words)}</span></div>"
    )


def week_list(weeks: tuple[str, ...]) -> str:
    """Return weeks by their Mondays: ``the weeks of 23 Sep and 30 Sep``."""
    return f"the week{'s' if len(weeks) > 1 else ''} of {' and '.join(map(day, weeks))}"


# ---- stage detail


def about(stage: str) -> str:
    """Return the part of a stage's detail that is the same for every run."""
    text = stage_texts()[stage]
    tools = "".join(f"<li>{escape(tool)}</li>" for tool in text.tools)
    risks = "".join(f"<li>{escape(risk)}</li>" for risk in text.risks)
    return (
        f'<p class="mls-purpose"><b>{escape(text.title)}.</b> {escape(text.purpose)}</p>'
        f'<div class="mls-columns"><div><h4>Tools</h4><ul class="mls-tools">{tools}</ul>'
        f'<h4>What can go wrong</h4><ul class="mls-risks">{risks}</ul></div>'
        f'<div><h4>In this run</h4><div data-slot="figures"></div></div></div>'
        f'<h4>By hand</h4><pre class="mls-code" tabindex="0">{escape(text.code)}</pre>'
    )


def figures(state: RunState, stage: str) -> str:
    """Return the metrics of a stage in this very run, earlier cycles folded below the latest."""
    records = [record for record in state.records if record.stage == stage]
    if not records:
        return '<p class="mls-quiet">Not reached yet.</p>'
    *earlier, latest = records
    folded = "".join(
        f'<details data-key="cycle-{record.cycle}"><summary>cycle {record.cycle}</summary>'
        f"{_table(record)}</details>"
        for record in reversed(earlier)
    )
    shown = f'<p class="mls-quiet">cycle {latest.cycle}</p>' if earlier else ""
    return f"{shown}{_table(latest)}{folded}"


def _table(record: StageRecord) -> str:
    took = {"seconds": f"{record.seconds:.2f}"} if record.state != "running" else {}
    values = {"state": record.state, **took, **record.metrics}
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        f"<td>{escape(_figure(value))}</td></tr>"
        for name, value in values.items()
    )
    wrong = f'<p class="mls-wrong">{escape(record.message)}</p>' if record.message else ""
    return f'<table class="mls-figures">{rows}</table>{wrong}'


def _figure(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---- production monitoring


def chart(state: RunState) -> str:
    """Return accuracy by week with its legend."""
    legend = (
        '<li><svg viewBox="0 0 20 12"><g class="mls-dot"><path d="M5.5 6a4.5 4.5 0 1 0 9 0'
        'a4.5 4.5 0 1 0 -9 0"/></g></svg>accuracy, upper 95% bound</li>'
        '<li><svg viewBox="0 0 20 12"><g class="mls-bad"><path d="M10 11.5L3.5 .5H16.5Z"/></g>'
        "</svg>alert</li>"
        '<li><svg viewBox="0 0 20 12"><line class="mls-base" x1="0" y1="6" x2="20" y2="6"/></svg>'
        "rule dep_delay &gt; 15</li>"
        '<li><svg viewBox="0 0 20 12"><rect class="mls-incident" width="20" height="12"/></svg>'
        "incident (ground truth, hidden from the monitor)</li>"
    )
    return (
        f"<h4>Accuracy by week</h4>"
        f'<div class="mls-plot"><svg role="img" width="100%" height="{HEIGHT}" '
        f'aria-label="{escape(describe(state))}">{accuracy_chart(state)}</svg></div>'
        f'<ul class="mls-legend">{legend}</ul>'
    )


def inputs(state: RunState) -> str:
    """Return the inputs that moved in the latest week, most moved first, as bars."""
    head = "<h4>Inputs that moved</h4>"
    if not state.weeks:
        return f'{head}<p class="mls-quiet">Compared with training once a week is scored.</p>'
    week = state.weeks[-1]
    usual = usual_drift(state)
    ranked = sorted(week.drift.items(), key=lambda item: -item[1])
    top = max(2.0, *(score for _, score in ranked[:1]), *usual.values())
    new = jumped(state, week)
    rows = "".join(
        _bar(name, score, usual.get(name), top, name in new)
        for name, score in ranked[:SHOWN_INPUTS]
    )
    rest = [score for _, score in ranked[SHOWN_INPUTS:]]
    more = f"{len(rest)} more, none above {rest[0]:.1f}. " if rest else ""
    tick = "The tick is a feature's usual score, in the first calm weeks. "
    return (
        f'{head}<p class="mls-quiet">Week {week.number}, {day(week.week)}. Drift score: '
        f"1.0 = edge of what training weeks do to each other.</p>"
        f'<ul class="mls-bars" style="--one:{100 / top:.1f}%"><li aria-hidden="true"><i></i>'
        f'<span class="mls-one"><span>1.0</span></span></li>{rows}</ul>'
        f'<p class="mls-quiet">{more}{tick}</p>{_findings(week.findings)}'
    )


def _bar(name: str, score: float, usual: float | None, top: float, new: bool) -> str:
    kind = "new" if new else "out" if score > 1 else "calm"
    word = {"new": "▲ new", "out": "above 1", "calm": ""}[kind]
    tick = f'<i class="mls-usual" style="left:{usual / top * 100:.1f}%"></i>' if usual else ""
    return (
        f'<li data-kind="{kind}"><span class="mls-feature">{escape(name)}</span>'
        f'<span class="mls-bar"><b style="width:{score / top * 100:.1f}%"></b>{tick}</span>'
        f'<span class="mls-score">{score:.1f}</span><span class="mls-flag">{word}</span></li>'
    )


def _findings(findings: tuple[str, ...]) -> str:
    if not findings:
        return '<p class="mls-quiet">All data checks passed.</p>'
    rest = f" And {len(findings) - 1} more." if len(findings) > 1 else ""
    return f'<p class="mls-wrong">Data checks: {escape(findings[0])}{rest}</p>'


def tiles(state: RunState) -> str:
    """Return the latest week in figures: what was called, what was true, what it cost."""
    if not state.weeks:
        names = ("Accuracy", "Rule dep_delay > 15", "Called late", "Own confidence", "Service")
        return "".join(_tile(name, "–", "") for name in names)
    week = state.weeks[-1]
    gap = (week.confidence - week.accuracy) * 100
    lead = (week.accuracy - week.baseline_accuracy) * 100
    missing = 1 - week.labelled / max(week.rows, 1)
    return (
        _tile(
            "Accuracy",
            f"{week.accuracy:.1%}",
            f"upper bound {week.upper:.1%}, alert below {threshold_of(state):.0%}",
            week.alert,
        )
        + _tile(
            "Rule dep_delay > 15",
            f"{week.baseline_accuracy:.1%}",
            f"the model is {abs(lead):.1f} points {'better' if lead >= 0 else 'worse'}",
        )
        + _tile("Called late", f"{week.predicted_late:.1%}", f"were late: {week.observed_late:.1%}")
        + _tile(
            "Own confidence",
            f"{week.confidence:.1%}",
            f"{abs(gap):.1f} points {'above' if gap >= 0 else 'below'} the truth",
        )
        + _tile(
            "Service",
            f"{week.latency_ms:.0f} ms",
            f"a request (median), {_count(week.errors, 'error')}; "
            f"{week.rows:,} flights, {missing:.1%} without label",
            week.errors > 0,
        )
    )


def _tile(name: str, value: str, note: str, bad: bool = False) -> str:
    mark = icon("alert") if bad else ""
    return (
        f'<div class="mls-tile"><dt>{escape(name)}</dt>'
        f"<dd><b>{mark}{escape(value)}</b><span>{escape(note)}</span></dd></div>"
    )


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'s' if number != 1 else ''}"
