"""Three flights of the latest week, each followed from the feed to its label.

What an incident changed of them is the ground truth: it is told when the run is over, and not
before.
"""

from collections.abc import Iterator
from datetime import date

from markupsafe import Markup

from mlops_course.data.features import CATEGORICAL, WEATHER
from mlops_course.data.flights import LATE_MINUTES
from mlops_course.drawing.markup import element, join
from mlops_course.pipeline.events import Example
from mlops_course.pipeline.state import RunState
from mlops_course.telling.wording import percent

MISSING = "missing"


def render(state: RunState) -> Markup:
    """Return the flights of the latest week side by side, folded below one line."""
    return element(
        "details",
        element("summary", _summary(state)),
        _content(state),
        data_key="flights",
        class_="mls-followed",
    )


def _summary(state: RunState) -> str:
    if not state.weeks or not state.weeks[-1].examples:
        return "Three flights of a week, from the feed to the label"
    week = state.weeks[-1]
    known = [one for one in week.examples if one.late is not None]
    right = sum(one.late == one.called_late for one in known)
    found = f"{right} of {len(known)} called right" if known else "no label has arrived"
    return f"Three flights of week {week.number}, from the feed to the label: {found}"


def _content(state: RunState) -> Markup:
    if not state.weeks:
        return _quiet("They are taken from each week once it is scored.")
    week = state.weeks[-1]
    if not week.examples:
        why = "None was kept of" if week.answered else "No flight was answered in"
        return _quiet(f"{why} week {week.number}: there is none to follow.")
    is_over = state.status == "finished"
    cards = [element("li", *_card(one, is_over)) for one in week.examples]
    return join(
        _quiet("Chosen by the model's answers alone: closest to 5%, 50% and 95% late."),
        element("ol", *cards, class_="mls-flights"),
    )


def _quiet(words: str) -> Markup:
    return element("p", words, class_="mls-quiet")


def _card(one: Example, is_over: bool) -> Iterator[Markup]:
    yield element("p", element("b", _name(one)))
    steps = [
        ("Data", "as the feed sent it", _delivered(one)),
        ("Train", "what the model sees", join(_seen(one))),
        ("Deploy", "the answer", _answer(one)),
        ("Monitor", "the label", _label(one)),
    ]
    if is_over and one.unharmed:
        steps.append(("In truth", "told after the run", join(_truth(one))))
    rows = [
        element("div", element("dt", stage, " ", element("span", note)), element("dd", words))
        for stage, note, words in steps
    ]
    yield element("dl", *rows)


def _name(one: Example) -> str:
    when = date.fromisoformat(one.day)
    of = one.delivered
    return f"{of['carrier']}, {of['origin']} to {of['dest']}, {when:%a} {when.day} {when:%b}"


def _delivered(one: Example) -> Markup:
    first = element("b", f"dep_delay {_value(one.delivered['dep_delay'])}")
    rest = [
        f"{name} {_value(value)}" for name, value in one.delivered.items() if name != "dep_delay"
    ]
    return join(element("code", first, ", ", ", ".join(rest)))


def _seen(one: Example) -> str:
    codes = [
        f"{one.delivered[name]} as {_value(one.encoded[name])}"
        if one.encoded[name] is not None
        else f"{one.delivered[name]}, unknown to it, as {MISSING}"
        for name in CATEGORICAL
    ]
    gaps = [name for name in one.encoded if name not in CATEGORICAL and one.encoded[name] is None]
    told = "all weather" if set(gaps) == set(WEATHER) else ", ".join(gaps)
    missing = f"; {told} {MISSING}" if gaps else ""
    return f"14 numbers: {', '.join(codes)}{missing}; the others as they came."


def _answer(one: Example) -> Markup:
    call = "late" if one.called_late else "on time"
    bar = element("span", element("i", style=f"width:{one.probability:.1%}"), class_="mls-chance")
    return join(f"{percent(one.probability)} late: called ", element("b", call), bar)


def _label(one: Example) -> Markup:
    if one.late is None or one.arr_delay is None:
        return join("? No label: it had not arrived when the week was looked at, or never will.")
    outcome = "late" if one.late else "on time"
    right = one.late == one.called_late
    sign = "✓ Right" if right else "× Wrong"
    limit = f", more than {LATE_MINUTES}" if one.late else ""
    return join(element("b", sign), f": {outcome}, {_arrival(one.arr_delay)}{limit}.")


def _arrival(minutes: float) -> str:
    if minutes == 0:
        return "to the minute"
    side = "after" if minutes > 0 else "before"
    return f"{abs(minutes):.0f} min {side} schedule"


def _truth(one: Example) -> str:
    told = []
    for name, was in one.unharmed.items():
        if name == "arr_delay":
            told.append(f"by the former schedule it would have arrived {_arrival(_number(was))}")
        else:
            told.append(
                f"{name} was {_value(was)}, and the feed sent {_value(one.delivered[name])}"
            )
    return (
        f"{'; '.join(told)}.".capitalize() if "arr_delay" in one.unharmed else f"{'; '.join(told)}."
    )


def _number(value: float | str | None) -> float:
    return value if isinstance(value, float) else 0.0


def _value(value: float | str | None) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.6g}"
