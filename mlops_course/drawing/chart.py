"""The accuracy chart: weeks of production against the alert threshold, as SVG.

Horizontal places are percentages and vertical ones pixels, so that text keeps its size
however wide the chart is; the live panel and the still picture render it with the same code.
Colours come from the classes, which each of the two styles for itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import ceil, floor, isnan

from markupsafe import Markup

from mlops_course.drawing.markup import DOT, SQUARE, TRIANGLE, at, element, join, text
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState, can_tell, has_accuracy, is_yours, threshold_of
from mlops_course.telling.wording import (
    counted,
    day,
    model_name,
    unanswered,
    week_numbers,
    why_unknown,
)

TOP = 34
BOTTOM = 214
HEIGHT = 240
FULL_LABELS = 13
SILENT_Y = BOTTOM - 12


@dataclass(frozen=True)
class Scale:
    """Where weeks and shares lie: ``slots`` weeks across, ``low`` to ``high`` upwards."""

    slots: int
    low: float
    high: float

    def x(self, number: float) -> float:
        """Return the percentage at which the middle of a week lies."""
        return round((number - 0.5) / self.slots * 100, 2)

    def left(self, number: int) -> float:
        """Return the percentage at which a week begins."""
        return (number - 1) / self.slots * 100

    def y(self, share: float) -> float:
        """Return the pixel at which a share lies."""
        inside = (self.high - share) / (self.high - self.low)
        return round(TOP + inside * (BOTTOM - TOP), 1)


@dataclass(frozen=True)
class LegendEntry:
    """What a mark of the chart means; ``more`` is said where there is room for it."""

    mark: Markup
    words: str
    more: str = ""


LEGEND = (
    LegendEntry(
        element("g", element("path", d=DOT), class_="mls-dot", transform="translate(10 6)"),
        "accuracy, upper 95% bound (one-sided)",
    ),
    LegendEntry(
        element(
            "g",
            element("path", d=TRIANGLE),
            class_="mls-bad",
            transform="translate(10 5.5) scale(.92)",
        ),
        "alert",
    ),
    LegendEntry(element("line", class_="mls-base", x1=0, y1=6, x2=20, y2=6), "rule dep_delay > 15"),
    LegendEntry(
        element("rect", class_="mls-incident", width=20, height=12),
        "incident (ground truth)",
        "incident (ground truth, hidden from the monitor)",
    ),
)


OTHER_RUN = LegendEntry(
    element("g", element("path", d=SQUARE), class_="mls-other", transform="translate(10 6)"),
    "accuracy of the kept run",
)


def scale_of(state: RunState, live: bool = False, other: RunState | None = None) -> Scale:
    """Return a scale on which model and threshold find room; the simple rule may leave it.

    A ``live`` one has room for the estimate without labels, too, and for another run.
    """
    threshold = threshold_of(state)
    weeks = (*state.weeks, *(other.weeks if other else ()))
    known = [week for week in weeks if has_accuracy(week)]
    low = min([threshold - 0.03, 0.85, *(week.accuracy - 0.04 for week in known)])
    high = max([threshold + 0.03, 0.95, *(_top(week) + 0.015 for week in known)])
    if live:
        told = [week.estimate for week in state.weeks if not isnan(week.estimate)]
        low = min([low, *(estimate - 0.01 for estimate in told)])
    slots = max(state.started.weeks if state.started else 8, len(state.weeks))
    return Scale(slots, max(floor(low * 20) / 20, 0.0), min(ceil(high * 20) / 20, 1.0))


def render(
    state: RunState, ordinal: bool = False, live: bool = False, other: RunState | None = None
) -> Markup:
    """Return the contents of an ``<svg>`` of any width and `HEIGHT` pixels high.

    Parameters
    ----------
    ordinal
        Name models by their order in this run instead of by their registry version, which
        depends on what the registry held before.
    live
        Leave room for what the page adds, and say what the simple rule's latest figure is.
    other
        A run to compare with, whose accuracy is drawn, too.
    """
    scale = scale_of(state, live, other)
    parts = [
        *_incident(state, scale),
        *_grid(scale),
        *_week_axis(state, scale),
        *_threshold(threshold_of(state), scale),
        *_rule_of_thumb(state, scale, live),
        *_other(other, scale),
        *_models(state, scale, ordinal),
    ]
    for week in state.weeks:
        parts += _week(week, scale, model_name(state, week.model_version, ordinal))
    return join(*parts, *_values(state, scale, live), *_silences(state, scale))


def describe(state: RunState) -> str:
    """Return the chart in a sentence, for those who cannot see it."""
    if not state.weeks:
        return "Accuracy by week: no week of production has been scored yet."
    alerts = [week.number for week in state.weeks if week.alert]
    told = [
        f"Accuracy by week over {counted(len(state.weeks), 'week')} against an alert threshold of "
        f"{threshold_of(state):.0%}: {_extremes(state)}",
        f"alerts in {week_numbers(alerts)}" if alerts else "no alert",
    ]
    if gaps := [week.number for week in state.weeks if week.unanswered]:
        told.append(f"flights unanswered in {week_numbers(gaps)}")
    if silent := [week.number for week in state.weeks if not has_accuracy(week)]:
        told.append(f"accuracy unknown in {week_numbers(silent)}")
    if unwatched := [week.number for week in state.weeks if not week.watched]:
        told.append(f"the rules were not evaluated for {week_numbers(unwatched)}")
    return f"{'; '.join(told)}."


def _extremes(state: RunState) -> str:
    known = [week for week in state.weeks if has_accuracy(week)]
    if not known:
        return "it is not known of any week"
    worst = min(known, key=lambda week: week.accuracy)
    return (
        f"first {known[0].accuracy:.1%}, lowest {worst.accuracy:.1%} in week {worst.number}, "
        f"last {known[-1].accuracy:.1%}"
    )


# ---- what does not depend on a week


def _percent(share: float) -> str:
    return f"{share:g}%"


def _rule(name: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", class_=name, x1=_percent(x1), y1=y1, x2=_percent(x2), y2=y2)


def _grid(scale: Scale) -> Iterator[Markup]:
    step = 1 if scale.high - scale.low < 0.32 else 2
    for tick in range(round(scale.low * 20), round(scale.high * 20) + 1):
        if tick % step:
            continue
        y = scale.y(tick / 20)
        yield _rule("mls-grid", 0, y, 100, y)
        yield text(f"{tick * 5}%", -8, y + 4, "mls-tick", "end")


def _week_axis(state: RunState, scale: Scale) -> Iterator[Markup]:
    days = {week.number: day(week.week) for week in state.weeks}
    step = ceil(scale.slots / 8)
    for place, number in enumerate(range(1, scale.slots + 1, step)):
        words = days.get(number, f"week {number}")
        name = "mls-tick" if number in days else "mls-tick mls-faint"
        name += " mls-second" if place % 2 else ""
        yield text(words, _percent(scale.x(number)), BOTTOM + 18, name, "middle")


def _threshold(threshold: float, scale: Scale) -> Iterator[Markup]:
    y = scale.y(threshold)
    yield _rule("mls-threshold", 0, y, 100, y)
    yield _margin(y, "alert line", f"{threshold:.0%}")


def _margin(y: float, *lines: str) -> Markup:
    """Return lines of text to the right of the chart."""
    rows = [text(words, 6, y + 13 * row, "mls-label") for row, words in enumerate(lines)]
    return at("100%", 0, *rows)


def _incident(state: RunState, scale: Scale) -> Iterator[Markup]:
    if is_yours(state):
        return
    title = element(
        "title",
        "The incident was active in these weeks: ground truth, which neither model nor monitor "
        "sees.",
    )
    for active, group in groupby(state.weeks, key=lambda week: week.incident):
        span = list(group)
        if not active:
            continue
        yield element(
            "rect",
            title,
            class_="mls-incident",
            x=_percent(scale.left(span[0].number)),
            y=TOP,
            width=_percent(len(span) / scale.slots * 100),
            height=BOTTOM - TOP,
        )


# ---- lines


def _line(
    weeks: Sequence[WeekScored], scale: Scale, name: str, share: Callable[[WeekScored], float]
) -> Iterator[Markup]:
    """Yield a line from week to week; it breaks where a share is unknown."""
    for one, two in pairwise(weeks):
        before = share(one)
        after = share(two)
        if isnan(before) or isnan(after):
            continue
        yield _rule(name, scale.x(one.number), scale.y(before), scale.x(two.number), scale.y(after))


def _rule_of_thumb(state: RunState, scale: Scale, live: bool) -> Iterator[Markup]:
    """Yield the simple rule's line, cut off where it leaves the chart, and say so there.

    A live chart gives the figure of the latest week, which the tile says as well.
    """
    line = _line(state.weeks, scale, "mls-base", lambda week: week.baseline_accuracy)
    inside = element("svg", *line, y=-TOP, overflow="visible")
    yield element("svg", inside, y=TOP, width="100%", height=BOTTOM - TOP)
    gone = [week.baseline_accuracy for week in state.weeks if week.baseline_accuracy < scale.low]
    if not gone:
        return
    if not live:
        yield _margin(BOTTOM - 13, "↓ rule", f"{min(gone):.0%}")
        return
    y = max(BOTTOM - 13, scale.y(threshold_of(state)) + 30)
    now = state.weeks[-1].baseline_accuracy
    if now < scale.low:
        yield _margin(y, "↓ rule now", f"{now:.1%}")
    else:
        yield _margin(y, "↓ rule was", f"{min(gone):.1%}")


def _other(run: RunState | None, scale: Scale) -> Iterator[Markup]:
    """Yield another run's accuracy, week by week, as far as this chart has weeks."""
    weeks = run.weeks[: scale.slots] if run else ()
    yield from _line(weeks, scale, "mls-other", lambda week: week.accuracy)
    for week in filter(has_accuracy, weeks):
        words = f"Week {week.number} of the kept run: accuracy {week.accuracy:.1%}"
        mark = element("g", element("title", words), element("path", d=SQUARE), class_="mls-other")
        yield at(_percent(scale.x(week.number)), scale.y(week.accuracy), mark)


def _models(state: RunState, scale: Scale, ordinal: bool) -> Iterator[Markup]:
    models = groupby(state.weeks, key=lambda week: week.model_version)
    for place, (version, group) in enumerate(models):
        span = list(group)
        yield from _line(span, scale, "mls-line", lambda week: week.accuracy)
        left = scale.left(span[0].number)
        name = model_name(state, version, ordinal)
        y = 26 - 13 * (place % 2)
        if span[0].number > 1:
            yield _rule("mls-change", left, y - 9, left, BOTTOM)
            name += " promoted" if scale.slots <= FULL_LABELS else ""
        if left > 80:
            words = text(name, -4, y, "mls-label", "end")
        else:
            words = text(name, 4, y, "mls-label")
        yield at(_percent(left), 0, words)


# ---- weeks


def _week(week: WeekScored, scale: Scale, model: str) -> Iterator[Markup]:
    """Yield a week's mark; one whose accuracy is unknown stands at the foot of the chart."""
    x = scale.x(week.number)
    y = float(SILENT_Y)
    if has_accuracy(week):
        y = scale.y(week.accuracy)
        upper = scale.y(_top(week))
        yield _rule("mls-whisker", x, y, x, upper)
        yield at(_percent(x), upper, element("path", class_="mls-whisker", d="M-4 0H4"))
    mark = element(
        "g",
        element("title", _tooltip(week, model)),
        element("path", d=TRIANGLE if week.alert else DOT),
        class_="mls-bad" if week.alert else "mls-dot",
    )
    yield at(_percent(x), y, mark)


def _top(week: WeekScored) -> float:
    """Return where a week's whisker ends: at its bound, or at the accuracy where it has none."""
    return week.upper if can_tell(week) else week.accuracy


def _tooltip(week: WeekScored, model: str) -> str:
    if has_accuracy(week):
        told = [
            f"accuracy {week.accuracy:.1%}",
            f"upper bound {week.upper:.1%} (one-sided 95%, one look)"
            if can_tell(week)
            else why_unknown(week),
            f"rule {week.baseline_accuracy:.1%}",
            f"{week.labelled:,} labelled flights",
        ]
    else:
        told = [f"accuracy unknown since {why_unknown(week)}"]
    if week.unanswered:
        told.append(unanswered(week))
    told.append(model)
    if week.alert:
        told.append("alert")
    if not week.watched:
        told.append("the rules were not evaluated")
    return f"Week {week.number} from {day(week.week)}: {', '.join(told)}"


def _values(state: RunState, scale: Scale, live: bool) -> Iterator[Markup]:
    """Yield accuracies in figures, and of how many flights where hardly any was answered.

    Of many weeks only three are written down; there a live chart has the lowest below its mark,
    where no other week is in the way.
    """
    shown = [week for week in state.weeks if has_accuracy(week)]
    low = None
    if scale.slots > FULL_LABELS and shown:
        worst = min(shown, key=lambda week: week.accuracy)
        low = worst if live else None
        shown = list({week.number: week for week in (shown[0], worst, shown[-1])}.values())
    for week in shown:
        x = _percent(scale.x(week.number))
        is_below = week.alert or week is low
        y = scale.y(week.accuracy) + 19 if is_below else scale.y(_top(week)) - 6
        yield text(f"{week.accuracy * 100:.1f}", x, y, "mls-value", "middle")
        if week.alert and week.unanswered:
            yield text(f"of {week.labelled:,}", x, y + 13, "mls-value", "middle")


def _silences(state: RunState, scale: Scale) -> Iterator[Markup]:
    """Yield why nothing was known or nobody looked, at the foot; once for weeks in a row."""
    for words, group in groupby(state.weeks, key=_silence):
        if not words:
            continue
        numbers = [week.number for week in group]
        middle = scale.x((numbers[0] + numbers[-1]) / 2)
        yield text(words, _percent(middle), SILENT_Y - 12, "mls-value", "middle")


def _silence(week: WeekScored) -> str:
    words = []
    if not has_accuracy(week):
        words.append("no labels" if week.answered else "no answers")
    if not week.watched:
        words.append("rules not evaluated")
    return ", ".join(words)
