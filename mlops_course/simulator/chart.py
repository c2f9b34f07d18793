"""The accuracy chart: weeks of production against the alert threshold, as SVG.

Horizontal places are percentages and vertical ones pixels, so that text keeps its size
however wide the chart is; the live panel and the static picture draw with the same code.
Colours come from the classes, which each of the two styles for itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import groupby, pairwise
from math import ceil, floor

from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState

TOP = 34
BOTTOM = 214
HEIGHT = 240
FULL_LABELS = 13


@dataclass(frozen=True)
class Scale:
    """Where weeks and shares lie: ``slots`` weeks across, ``low`` to ``high`` upwards."""

    slots: int
    low: float
    high: float

    def x(self, number: float) -> float:
        """Return the percentage at which the middle of a week lies."""
        return round((number - 0.5) / self.slots * 100, 2)

    def y(self, share: float) -> float:
        """Return the pixel at which a share lies."""
        inside = (self.high - share) / (self.high - self.low)
        return round(TOP + inside * (BOTTOM - TOP), 1)


def scale_of(state: RunState) -> Scale:
    """Return a scale on which model and threshold find room; the simple rule may leave it."""
    threshold = threshold_of(state)
    low = min([threshold - 0.03, 0.85, *(week.accuracy - 0.04 for week in state.weeks)])
    high = max([threshold + 0.03, 0.95, *(week.upper + 0.015 for week in state.weeks)])
    slots = max(state.started.weeks if state.started else 8, len(state.weeks))
    return Scale(slots, max(floor(low * 20) / 20, 0.0), min(ceil(high * 20) / 20, 1.0))


def threshold_of(state: RunState) -> float:
    """Return the run's alert threshold; the usual one before a run began."""
    return state.started.threshold if state.started else 0.90


def day(week: str) -> str:
    """Return a Monday as people write it: ``2 Sep``."""
    monday = date.fromisoformat(week)
    return f"{monday.day} {monday:%b}"


def accuracy_chart(state: RunState, ordinal: bool = False) -> str:
    """Return the contents of an ``<svg>`` of any width and `HEIGHT` pixels high.

    Parameters
    ----------
    ordinal
        Name models by their order in this run instead of by their registry version, which
        depends on what the registry held before.
    """
    scale = scale_of(state)
    parts = [
        *_incident(state, scale),
        *_grid(scale),
        *_week_axis(state, scale),
        *_threshold(threshold_of(state), scale),
        *_rule_of_thumb(state, scale),
        *_models(state, scale, ordinal),
    ]
    for week in state.weeks:
        parts += _week(week, scale, version_name(state, week.model_version, ordinal))
    return "".join([*parts, *_values(state, scale)])


def describe(state: RunState) -> str:
    """Return the chart in a sentence, for those who cannot see it."""
    if not state.weeks:
        return "Accuracy by week: no week of production has been scored yet."
    worst = min(state.weeks, key=lambda week: week.accuracy)
    alerts = [week.number for week in state.weeks if week.alert]
    told = f"alerts in {_weeks(alerts)}" if alerts else "no alert"
    return (
        f"Accuracy by week over {len(state.weeks)} weeks against an alert threshold of "
        f"{threshold_of(state):.0%}: first {state.weeks[0].accuracy:.1%}, lowest "
        f"{worst.accuracy:.1%} in week {worst.number}, last {state.weeks[-1].accuracy:.1%}; "
        f"{told}."
    )


def version_name(state: RunState, version: str, ordinal: bool = False) -> str:
    """Return how a model is called in the picture: ``v7``, or ``model 2`` in this run."""
    if not ordinal:
        return f"v{version}"
    order = list(dict.fromkeys(week.model_version for week in state.weeks))
    return f"model {order.index(version) + 1}" if version in order else "the new model"


def _weeks(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"week {numbers[0]}"
    return f"weeks {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _text(x: str, y: float, words: str, name: str, anchor: str = "middle") -> str:
    return f'<text class="{name}" x="{x}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _rule(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:g}%" y1="{y1:g}" x2="{x2:g}%" y2="{y2:g}"/>'


def _shape(name: str, x: float, y: float, path: str) -> str:
    return (
        f'<svg x="{x:g}%" y="{y:g}" overflow="visible" width="1" height="1">'
        f'<path class="{name}" d="{path}"/></svg>'
    )


def _grid(scale: Scale) -> Iterator[str]:
    step = 1 if scale.high - scale.low < 0.32 else 2
    for tick in range(round(scale.low * 20), round(scale.high * 20) + 1):
        if tick % step:
            continue
        y = scale.y(tick / 20)
        yield _rule("mls-grid", 0, y, 100, y)
        yield _text("-8", y + 4, f"{tick * 5}%", "mls-tick", "end")


def _week_axis(state: RunState, scale: Scale) -> Iterator[str]:
    days = {week.number: day(week.week) for week in state.weeks}
    step = ceil(scale.slots / 8)
    for place, number in enumerate(range(1, scale.slots + 1, step)):
        words = days.get(number, f"week {number}")
        name = "mls-tick" if number in days else "mls-tick mls-faint"
        name += " mls-second" if place % 2 else ""
        yield _text(f"{scale.x(number)}%", BOTTOM + 18, words, name)


def _threshold(threshold: float, scale: Scale) -> Iterator[str]:
    y = scale.y(threshold)
    yield f'<line class="mls-threshold" x1="0" y1="{y:g}" x2="100%" y2="{y:g}"/>'
    yield from _margin(y, "alert line", f"{threshold:.0%}")


def _margin(y: float, *lines: str) -> Iterator[str]:
    """Yield lines of text to the right of the chart."""
    yield '<svg x="100%" y="0" overflow="visible" width="1" height="1">'
    for row, words in enumerate(lines):
        yield _text("6", y + 13 * row, words, "mls-label", "start")
    yield "</svg>"


def _incident(state: RunState, scale: Scale) -> Iterator[str]:
    for active, group in groupby(state.weeks, key=lambda week: week.incident):
        span = list(group)
        if not active:
            continue
        left = (span[0].number - 1) / scale.slots * 100
        width = len(span) / scale.slots * 100
        yield (
            f'<rect class="mls-incident" x="{left:g}%" y="{TOP}" width="{width:g}%" '
            f'height="{BOTTOM - TOP}"><title>The incident was active in these weeks: ground '
            f"truth, which neither model nor monitor sees.</title></rect>"
        )


def _line(
    weeks: tuple[WeekScored, ...], scale: Scale, name: str, share: Callable[[WeekScored], float]
) -> Iterator[str]:
    for one, two in pairwise(weeks):
        yield _rule(
            name, scale.x(one.number), scale.y(share(one)), scale.x(two.number), scale.y(share(two))
        )


def _rule_of_thumb(state: RunState, scale: Scale) -> Iterator[str]:
    """Yield the simple rule's line, cut off where it leaves the chart, and say so there."""
    yield f'<svg y="{TOP}" width="100%" height="{BOTTOM - TOP}"><svg y="-{TOP}" overflow="visible">'
    yield from _line(state.weeks, scale, "mls-base", lambda week: week.baseline_accuracy)
    yield "</svg></svg>"
    gone = [week.baseline_accuracy for week in state.weeks if week.baseline_accuracy < scale.low]
    if gone:
        yield from _margin(BOTTOM - 13, "↓ rule", f"{min(gone):.0%}")


def _models(state: RunState, scale: Scale, ordinal: bool) -> Iterator[str]:
    models = groupby(state.weeks, key=lambda week: week.model_version)
    for place, (version, group) in enumerate(models):
        span = tuple(group)
        yield from _line(span, scale, "mls-line", lambda week: week.accuracy)
        left = (span[0].number - 1) / scale.slots * 100
        name = version_name(state, version, ordinal)
        y = 26 - 13 * (place % 2)
        if span[0].number > 1:
            yield _rule("mls-change", left, y - 9, left, BOTTOM)
            name += " promoted" if scale.slots <= FULL_LABELS else ""
        anchor = "end" if left > 80 else "start"
        dx = {"start": 4, "end": -4}[anchor]
        yield f'<svg x="{left:g}%" y="0" overflow="visible" width="1" height="1">'
        yield f"{_text(f'{dx}', y, name, 'mls-label', anchor)}</svg>"


def _week(week: WeekScored, scale: Scale, model: str) -> Iterator[str]:
    x = scale.x(week.number)
    y = scale.y(week.accuracy)
    upper = scale.y(week.upper)
    yield _rule("mls-whisker", x, y, x, upper)
    yield _shape("mls-whisker", x, upper, "M-4 0H4")
    path = "M0 6.5L-7 -5.5H7Z" if week.alert else "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0"
    yield (
        f'<svg x="{x:g}%" y="{y:g}" overflow="visible" width="1" height="1">'
        f'<g class="{"mls-bad" if week.alert else "mls-dot"}">'
        f"<title>{escape(_tooltip(week, model))}</title>"
        f'<path d="{path}"/></g></svg>'
    )


def _tooltip(week: WeekScored, model: str) -> str:
    return (
        f"Week {week.number} from {day(week.week)}: accuracy {week.accuracy:.1%}, upper 95% "
        f"bound {week.upper:.1%}, rule {week.baseline_accuracy:.1%}, {week.labelled:,} labelled "
        f"flights, {model}{', alert' if week.alert else ''}"
    )


def _values(state: RunState, scale: Scale) -> Iterator[str]:
    shown = state.weeks
    if scale.slots > FULL_LABELS and shown:
        worst = min(shown, key=lambda week: week.accuracy)
        shown = tuple({week.number: week for week in (shown[0], worst, shown[-1])}.values())
    for week in shown:
        y = scale.y(week.accuracy) + 19 if week.alert else scale.y(week.upper) - 6
        yield _text(f"{scale.x(week.number)}%", y, f"{week.accuracy * 100:.1f}", "mls-value")
