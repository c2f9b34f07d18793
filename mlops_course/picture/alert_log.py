"""The alert log: what fired, how sure that is, and what somebody on call would do next.

The advice follows from what a monitor can see (which inputs moved, which checks failed,
whether the model changed); the scenario's true cause is told apart, after the run.
"""

import json
from collections.abc import Mapping

from markupsafe import Markup

from mlops_course.drawing.markup import element, icon, join
from mlops_course.pipeline.asking import Told
from mlops_course.pipeline.events import (
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
)
from mlops_course.pipeline.state import LogEntry, RunState, alerted_weeks, is_yours, revealed
from mlops_course.telling import wording
from mlops_course.telling.advice import ending, how_sure, next_move
from mlops_course.telling.wording import week_numbers

# The kinds of entries, as the style sheet knows them.
_KINDS: Mapping[type[LogEntry], str] = {
    AlertRaised: "alert",
    Notified: "sent",
    Retrained: "again",
    Rejected: "refused",
    Promoted: "done",
    RolledBack: "done",
}
_WITH_ICON = ("alert", "refused", "done")


def log(state: RunState) -> Markup:
    """Return alerts, notifications, retrainings and promotions, in order, as HTML."""
    head = element("h4", "Alert log")
    blind = [week.number for week in state.weeks if not week.watched]
    unwatched = f"The rules were not evaluated for {week_numbers(blind)}." if blind else ""
    aside = element("p", unwatched, class_="mls-quiet") if blind else Markup("")
    if not state.log:
        quiet = "No alert so far." if state.weeks else "Alerts and what follows them appear here."
        return join(head, element("p", quiet, class_="mls-quiet"), aside)
    entries = [_entry(state, place, entry) for place, entry in enumerate(state.log)]
    return join(head, element("ol", *entries, class_="mls-log"), aside)


def debrief(state: RunState, story: str, response: str) -> Markup:
    """Return what truly happened, when it could be seen, and the right response, after a run."""
    if state.status != "finished" or state.started is None:
        return Markup("")
    truth = revealed(state)
    title = truth.truth if truth else state.started.title
    return join(
        element("h4", f"What it really was: {title}"),
        element("p", f"{story} {ending(state)}"),
        element("p", element("b", "Right response:"), f" {response}"),
    )


def _entry(state: RunState, place: int, entry: LogEntry) -> Markup:
    past_the_gate = isinstance(entry, Promoted) and entry.by_hand
    kind = "told" if past_the_gate or isinstance(entry, Told) else _KINDS[type(entry)]
    sign = icon(kind) if kind in _WITH_ICON else element("i", class_=f"mls-sign-{kind}")
    return element(
        "li",
        sign,
        element("b", wording.entry_title(entry)),
        element("span", wording.when(state, entry.week), class_="mls-when"),
        element("div", _content(state, place, entry)),
        data_key=f"entry-{place}",
        data_kind=kind,
    )


def _content(state: RunState, place: int, entry: LogEntry) -> str:
    if isinstance(entry, AlertRaised):
        return _alert(state, place, entry)
    said = wording.log_text(state, entry)
    if not isinstance(entry, Notified):
        return said
    payload = json.dumps(dict(entry.payload), indent=2, default=str)
    shown = element("pre", payload, class_="mls-code", tabindex=0)
    return element("details", element("summary", said), shown, data_key=f"note-{place}")


def _alert(state: RunState, place: int, alert: AlertRaised) -> Markup:
    """Return an alert in full; one whose rule fired the week before folds its advice away."""
    week = next((scored for scored in state.weeks if scored.week == alert.week), None)
    fired = [scored.number for scored in alerted_weeks(state, alert.rule)]
    move = "That is yours to find." if is_yours(state) else next_move(state, alert, week)
    advice = element(
        "dl",
        element("dt", "How sure"),
        element("dd", how_sure(alert, week)),
        element("dt", "On call, next"),
        element("dd", move),
    )
    if week is not None and week.number - 1 in fired:
        summary = element("summary", "how sure, and what somebody on call does next")
        advice = element("details", summary, advice, data_key=f"advice-{place}")
    return join(element("p", wording.log_text(state, alert)), advice)
