"""What is drawn by week besides accuracy: the estimate without labels, and the signals.

The estimate lies under the accuracy chart, the signals are rows under the same weeks, and a table
says all of it in figures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan

from markupsafe import Markup

from mlops_course.drawing import chart
from mlops_course.drawing.markup import TRIANGLE, at, element, join, term, text
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState
from mlops_course.telling.content import meanings
from mlops_course.telling.signals import SIGNALS, Signal, alerted, beyond, unknown
from mlops_course.telling.wording import counted, day, percent

HEIGHT = 34
PAD = 7
ESTIMATE = "Estimate without labels"

# ---- the estimate, under the accuracy chart


def estimate(state: RunState, other: RunState | None = None) -> Markup:
    """Return what the accuracy was told to be without labels: a band, and a dashed line in it.

    Each model has a curve of its own: the line breaks where one replaces another.

    Parameters
    ----------
    other
        A run that is shown beside this one, for the chart then has another scale.
    """
    scale = chart.scale_of(state, live=True, other=other)
    shapes = []
    for _, group in groupby(state.weeks, key=lambda week: week.model_version):
        span = list(group)
        for known, run in groupby(span, key=lambda week: not isnan(week.estimate_low)):
            if known:
                shapes.append(element("path", class_="mls-band", d=_band(list(run), scale)))
        line = _path(span, lambda week: week.estimate, scale.y)
        shapes.append(element("path", class_="mls-estimate", d=line))
    return element(
        "svg",
        *shapes,
        class_="mls-layer",
        y=chart.TOP,
        width="100%",
        height=chart.BOTTOM - chart.TOP,
        viewBox=f"0 {chart.TOP} {scale.slots} {chart.BOTTOM - chart.TOP}",
        preserveAspectRatio="none",
    )


def describe_estimate(state: RunState) -> str:
    """Return the estimate in a sentence, for those who cannot see it."""
    told = [week for week in state.weeks if not isnan(week.estimate)]
    if not told:
        return ""
    return (
        f" Estimated without labels: {told[0].estimate:.1%} in week {told[0].number}, "
        f"{told[-1].estimate:.1%} in week {told[-1].number}."
    )


def estimate_legend() -> Markup:
    """Return the legend's entry for the estimate, which explains itself."""
    mark = element(
        "svg",
        element("rect", class_="mls-band", width=20, height=12),
        element("line", class_="mls-estimate", x1=0, y1=6, x2=20, y2=6),
        viewBox="0 0 20 12",
    )
    name = term(ESTIMATE.lower(), meanings()[ESTIMATE], "legend-estimate")
    return element("li", mark, name)


def _band(weeks: Sequence[WeekScored], scale: chart.Scale) -> str:
    """Return a path around the band; that of a week alone is half a week wide."""
    if len(weeks) == 1:
        only = weeks[0]
        high = scale.y(only.estimate_high)
        low = scale.y(only.estimate_low)
        return f"M{only.number - 0.75:g} {high:g}h.5V{low:g}h-.5Z"
    over = [f"{week.number - 0.5:g} {scale.y(week.estimate_high):g}" for week in weeks]
    under = [f"{week.number - 0.5:g} {scale.y(week.estimate_low):g}" for week in reversed(weeks)]
    return f"M{'L'.join([*over, *under])}Z"


def _path(
    weeks: Sequence[WeekScored], value: Callable[[WeekScored], float], y: Callable[[float], float]
) -> str:
    """Return a path from week to week, a unit apart; it breaks where a figure is not known."""
    parts = []
    pen = "M"
    for week in weeks:
        here = value(week)
        if isnan(here):
            pen = "M"
            continue
        parts.append(f"{pen}{week.number - 0.5:g} {y(here):g}")
        pen = "L"
    return "".join(parts)


# ---- the rows


def signals(state: RunState) -> Markup:
    """Return a line that sums the signals up, and below it each by week, drawn and as a table."""
    head = element("h4", "Signals besides accuracy")
    if not state.weeks:
        told = f"{counted(len(SIGNALS), 'signal').capitalize()}, once a week is scored."
        return join(head, element("p", told, class_="mls-quiet"))
    told = (
        "Two alert rules watch this run: on accuracy, above, and on unanswered flights. All other "
        "rows are only shown, some beside a limit of lesson 07."
    )
    rows = [_row(state, signal) for signal in SIGNALS]
    unfolded = element(
        "details",
        element("summary", _summary(state)),
        element("p", told, class_="mls-quiet"),
        element("ul", *rows, class_="mls-signals"),
        element("ul", *_legend(), class_="mls-legend"),
        _table(state),
        class_="mls-fold",
        data_key="signals",
    )
    return join(head, unfolded)


def _summary(state: RunState) -> str:
    """Return which signals were beyond a limit in any week so far."""
    names = [signal.name for signal in SIGNALS if any(map(signal.is_beyond, state.weeks))]
    if not names:
        return f"None of the {len(SIGNALS)} has been beyond a limit so far."
    return f"{len(names)} of {len(SIGNALS)} beyond a limit so far: {', '.join(names).lower()}."


def _row(state: RunState, signal: Signal) -> Markup:
    told = signal.told(state.weeks[-1])
    found = [words for words in (beyond(state, signal), unknown(state, signal)) if words]
    flags = [element("b", words) for words in found]
    picture = element(
        "svg",
        *_drawn(state, signal),
        role="img",
        width="100%",
        height=HEIGHT,
        aria_label=f"{signal.name} by week. {'; '.join([f'Latest: {told}', *found])}.",
    )
    name = term(signal.name, meanings()[signal.name], f"signal-{signal.name}")
    head = element(
        "div",
        name,
        element("span", told, class_="mls-signal-now"),
        *flags,
        element("span", signal.limit, class_="mls-quiet"),
        class_="mls-signal-head",
    )
    return element("li", head, element("div", picture, class_="mls-plot"))


# ---- a row's drawing


@dataclass(frozen=True)
class _Range:
    """The figures that a row shows, from its foot to its top."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """Return the pixel at which a value lies."""
        inside = (self.high - value) / (self.high - self.low)
        return round(PAD + inside * (HEIGHT - 2 * PAD), 1)


def _range_of(state: RunState, signal: Signal) -> _Range:
    values = [signal.value(week) for week in state.weeks]
    if signal.beside:
        values += map(signal.beside, state.weeks)
    known = [value for value in values if not isnan(value)]
    return _Range(min([signal.span[0], *known]), max([signal.span[1], *known]))


def _drawn(state: RunState, signal: Signal) -> Iterator[Markup]:
    inside = _range_of(state, signal)
    slots = chart.scale_of(state).slots
    known = [not isnan(signal.value(week)) for week in state.weeks]
    for number in range(1, slots + 1):
        if number > len(known) or not known[number - 1]:
            yield _blank(number, slots)
    yield from _limits(signal, inside)
    if signal.beside:
        yield _line(state, signal.beside, inside, "mls-base")
    yield _line(state, signal.value, inside, "mls-line")
    for week in state.weeks:
        x = f"{(week.number - 0.5) / slots:.2%}"
        if isnan(signal.value(week)):
            yield text("?", x, HEIGHT / 2 + 4, "mls-value", "middle")
        elif signal.is_beyond(week):
            yield at(x, inside.y(signal.value(week)), _mark(state, signal, week))


def _blank(number: int, slots: int) -> Markup:
    """Return the ground of a week whose figure is not known, or not yet."""
    return element(
        "rect",
        class_="mls-blank",
        x=f"{(number - 1) / slots:.2%}",
        y=PAD - 3,
        width=f"{1 / slots:.2%}",
        height=HEIGHT - 2 * PAD + 6,
    )


def _limits(signal: Signal, inside: _Range) -> Iterator[Markup]:
    """Yield a line at each limit within the row, or at zero where a figure has none and goes below.

    Both limits of a row are never close; only the lower one is written down beside it.
    """
    limits = [limit for limit in (signal.low, signal.high) if limit is not None]
    for limit in limits or [0.0]:
        y = inside.y(limit)
        if not signal.at_line or not inside.low <= limit <= inside.high:
            continue
        name = "mls-threshold" if limits else "mls-grid"
        yield element("line", class_=name, x1=0, x2="100%", y1=y, y2=y)
        if limit == min(limits, default=limit):
            yield at("100%", 0, text(signal.at_line, 6, y + 4, "mls-tick"))


def _line(
    state: RunState, value: Callable[[WeekScored], float], inside: _Range, name: str
) -> Markup:
    path = element("path", class_=name, d=_path(state.weeks, value, inside.y))
    known = [week for week in state.weeks if not isnan(value(week))]
    dots = "".join(f"M{week.number - 0.5:g} {inside.y(value(week)):g}h0" for week in known)
    return element(
        "svg",
        path,
        element("path", class_="mls-dots", d=dots) if name == "mls-line" else "",
        viewBox=f"0 0 {chart.scale_of(state).slots} {HEIGHT}",
        preserveAspectRatio="none",
        width="100%",
        height=HEIGHT,
    )


def _mark(state: RunState, signal: Signal, week: WeekScored) -> Markup:
    title = f"Week {week.number}: {signal.told(week)}, beyond the limit"
    return element(
        "g",
        element("title", title),
        element("path", d=TRIANGLE, transform="scale(.8)"),
        class_="mls-bad" if alerted(state, signal, week) else "mls-out",
    )


def _legend() -> Iterator[Markup]:
    path = element("path", d=TRIANGLE, transform="translate(10 5.5) scale(.8)")
    marks = (("mls-bad", "alert"), ("mls-out", "beyond the limit, no alert"))
    for name, words in marks:
        yield element(
            "li", element("svg", element("g", path, class_=name), viewBox="0 0 20 12"), words
        )
    ground = element("rect", class_="mls-blank", width=20, height=12)
    yield element("li", element("svg", ground, viewBox="0 0 20 12"), "not known, or not yet")
    line = element("line", class_="mls-base", x1=0, y1=6, x2=20, y2=6)
    yield element("li", element("svg", line, viewBox="0 0 20 12"), "share that was late")


# ---- the same as a table


def _table(state: RunState) -> Markup:
    """Return the weeks as rows and the signals as columns, for who reads rather than looks."""
    names = ("Week", "Accuracy", ESTIMATE, *(signal.name for signal in SIGNALS))
    heads = [element("th", name, scope="col") for name in names]
    rows = [_table_row(state, week) for week in state.weeks]
    table = element(
        "table",
        element("caption", "Signals by week"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
    )
    scrolled = element(
        "div",
        table,
        class_="mls-scroll",
        tabindex=0,
        role="region",
        aria_label="Signals by week, a table",
    )
    summary = element("summary", "The same as a table")
    return element("details", summary, scrolled, class_="mls-as-table", data_key="signals-table")


def _table_row(state: RunState, week: WeekScored) -> Markup:
    cells = [percent(week.accuracy), percent(week.estimate)]
    for signal in SIGNALS:
        told = signal.told(week)
        if signal.is_beyond(week):
            told += " ▼ alert" if alerted(state, signal, week) else " ▽ beyond"
        cells.append(told)
    name = element("th", f"{week.number}, {day(week.week)}", scope="row")
    return element("tr", name, *(element("td", cell) for cell in cells))
