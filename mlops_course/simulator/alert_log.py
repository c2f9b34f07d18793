"""The alert log: what fired, how sure that is, and what somebody on call would do next.

The advice follows from what a monitor can see (which inputs moved, which checks failed,
whether the model changed); the scenario's true cause is told apart, after the run.
"""

import json
from collections.abc import Iterator
from html import escape

from mlops_course.pipeline.events import (
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    WeekScored,
)
from mlops_course.pipeline.state import RunState, chance, jumped
from mlops_course.simulator.chart import day
from mlops_course.simulator.views import icon, week_list

_SIGNS = {"alert": "alert", "refused": "refused", "done": "done"}


def log(state: RunState) -> str:
    """Return alerts, notifications, retrainings and promotions, in order, as HTML."""
    if not state.log:
        quiet = "No alert so far." if state.weeks else "Alerts and what follows them appear here."
        return f'<h4>Alert log</h4><p class="mls-quiet">{quiet}</p>'
    return f'<h4>Alert log</h4><ol class="mls-log" tabindex="0">{"".join(_entries(state))}</ol>'


def debrief(state: RunState, story: str, response: str) -> str:
    """Return what truly happened and the right response, once the run is over."""
    if state.status != "finished" or state.started is None:
        return ""
    return (
        f"<h4>What it really was: {escape(state.started.title)}</h4>"
        f"<p>{escape(story)} <b>Right response:</b> {escape(response)}</p>"
    )


def how_sure(alert: AlertRaised, week: WeekScored | None) -> str:
    """Return how likely the alert is to be chance, in a sentence."""
    if week is None or "accuracy" not in alert.rule:
        return f"{alert.value:.3g} was measured, the threshold is {alert.threshold:.3g}."
    odds = chance(week, alert.threshold)
    seldom = "less than one week in a million" if odds < 1e-6 else f"one week in {1 / odds:,.0f}"
    return (
        f"Even the upper 95% bound, {week.upper:.1%}, is below {alert.threshold:.0%}. If the true "
        f"accuracy were {alert.threshold:.0%}, {seldom} would look this bad "
        f"({week.labelled:,} flights, counted as independent)."
    )


def next_move(state: RunState, week: WeekScored | None) -> str:
    """Return what an engineer on call would do next, from what the monitor sees."""
    if week is None:
        return "Look at the service's log and its health endpoint."
    if week.errors:
        return f"{week.errors} requests failed: see the service's log; roll back if it is new."
    if week.findings:
        fault = week.findings[0].rstrip(".")
        return f"The data checks name a fault ({fault}): have the feed repaired first."
    if moved := jumped(state, week):
        names = " and ".join(moved[:2])
        since = next(w.week for w in state.weeks if moved[0] in jumped(state, w))
        return (
            f"{names} moved far beyond the first weeks. Ask who owns that feed what changed around "
            f"{day(since)}; retraining on the new weeks is a stopgap until it is fixed."
        )
    before = [w.model_version for w in state.weeks if w.number == week.number - 1]
    if before and before[0] != week.model_version:
        return f"The model changed a week ago: roll back to v{before[0]}, then look for the cause."
    return (
        "No input moved in an unusual way, so the relation itself may have changed: compare the "
        "errors by carrier and airport, then retrain and let the gate judge."
    )


def _entries(state: RunState) -> Iterator[str]:
    for place, entry in enumerate(state.log):
        match entry:
            case AlertRaised():
                yield _entry(
                    state, place, entry.week, "alert", "Alert", _alert(state, place, entry)
                )
            case Notified():
                payload = escape(json.dumps(dict(entry.payload), indent=2, default=str))
                text = (
                    f'<details data-key="note-{place}"><summary>message to '
                    f"{escape(entry.channel)}, shown here and not sent</summary>"
                    f'<pre class="mls-code" tabindex="0">{payload}</pre></details>'
                )
                yield _entry(state, place, entry.week, "sent", "Notified", text)
            case Retrained():
                text = (
                    f"A candidate learned from {entry.rows:,} flights of "
                    f"{escape(week_list(entry.weeks))}, in {entry.seconds:.2f} s. It waits for the "
                    f"next week: the gate judges it on rows that it has not seen."
                )
                yield _entry(state, place, entry.week, "again", "Retrained", text)
            case Rejected():
                text = escape(entry.reason)
                yield _entry(state, place, entry.week, "refused", "Refused", text)
            case Promoted():
                old = f" replaces v{escape(entry.from_version)}" if entry.from_version else ""
                text = f"v{escape(entry.to_version)}{old}: {escape(entry.reason)}"
                yield _entry(state, place, entry.week, "done", "Promoted", text)


def _entry(state: RunState, place: int, week: str, kind: str, word: str, text: str) -> str:
    number = next((w.number for w in state.weeks if w.week == week), None)
    when = f"week {number}, {day(week)}" if number else "before week 1"
    sign = icon(_SIGNS[kind]) if kind in _SIGNS else f'<i class="mls-sign-{kind}"></i>'
    return (
        f'<li data-key="entry-{place}" data-kind="{kind}">{sign}'
        f'<b>{word}</b><span class="mls-when">{when}</span><div>{text}</div></li>'
    )


def _alert(state: RunState, place: int, alert: AlertRaised) -> str:
    """Return an alert in full; one that follows another week's alert folds its advice away."""
    week = next((w for w in state.weeks if w.week == alert.week), None)
    again = week is not None and any(w.alert and w.number == week.number - 1 for w in state.weeks)
    advice = (
        f"<dl><dt>How sure</dt><dd>{escape(how_sure(alert, week))}</dd>"
        f"<dt>On call, next</dt><dd>{escape(next_move(state, week))}</dd></dl>"
    )
    if again:
        summary = "<summary>how sure, and what somebody on call does next</summary>"
        advice = f'<details data-key="advice-{place}">{summary}{advice}</details>'
    return f"<p>{escape(alert.message)}</p>{advice}"
