"""How a run looks in the page: pure functions from a state to the HTML of the simulator's parts.

What a part holds is in `content`. The page's script only puts these texts in place; the controls
and the thread that drives a run live in `simulator`.
"""

from collections.abc import Iterator

from markupsafe import Markup

from mlops_course.drawing import chart, weekly
from mlops_course.drawing.markup import element, icon, join, term
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.state import RunState
from mlops_course.telling import wording
from mlops_course.telling.beside import in_a_sentence
from mlops_course.telling.content import (
    Moved,
    Tile,
    meanings,
    moved_inputs,
    tiles_of,
)
from mlops_course.telling.wording import counted

SHOWN_INPUTS = 7


# ---- production monitoring


def accuracy(state: RunState, other: RunState | None = None) -> Markup:
    """Return accuracy by week with its legend, beside that of another run if there is one."""
    beside = in_a_sentence(state, other) if other else ""
    picture = element(
        "svg",
        weekly.estimate(state, other),
        chart.render(state, live=True, other=other),
        role="img",
        width="100%",
        height=chart.HEIGHT,
        aria_label=f"{chart.describe(state)}{weekly.describe_estimate(state)} {beside}".strip(),
    )
    legend = [
        element("li", element("svg", entry.mark, viewBox="0 0 20 12"), entry.more or entry.words)
        for entry in (*chart.LEGEND, *([chart.OTHER_RUN] if other else []))
    ]
    return join(
        element("h4", "Accuracy by week"),
        element("div", picture, class_="mls-plot"),
        element("ul", *legend, weekly.estimate_legend(), class_="mls-legend"),
        element("p", beside, class_="mls-beside") if beside else "",
    )


def inputs(state: RunState) -> Markup:
    """Return the inputs that moved in the latest week, most moved first, as bars."""
    head = element("h4", "Inputs that moved")
    moved = moved_inputs(state)
    if moved is None:
        return join(head, quiet("Compared with calm weeks once a week is scored."))
    week = moved.week
    begin = f"Week {week.number}, {wording.day(week.week)}."
    checks = _findings(week.findings)
    if not moved.bars:
        return join(head, quiet(f"{begin} {wording.NOTHING_ANSWERED}"), checks)
    few = f" {counted(week.answered, 'flight').capitalize()} answered." if week.unanswered else ""
    scale = "Above 1.0 a week is stranger than every week it is compared with."
    rest = moved.bars[SHOWN_INPUTS:]
    more = f"{len(rest)} more, none above {rest[0].score:.1f}." if rest else ""
    return join(
        head,
        quiet(f"{begin}{few} {scale} {_promise(week)}"),
        element("ul", *_bars(moved), class_="mls-bars", style=f"--one:{moved.one:.1%}"),
        quiet(more),
        checks,
    )


def _promise(week: WeekScored) -> str:
    """Say how seldom that happens by chance, so that it is not taken for a fault."""
    return (
        f"Of 100 calm weeks up to {100 * week.drift_promise:.0f} have such an input by chance, "
        f"some {52 * week.drift_promise:.0f} a year: it is a question, not yet a fault."
    )


def _bars(moved: Moved) -> Iterator[Markup]:
    one = element("span", element("span", "1.0"), class_="mls-one")
    yield element("li", element("i"), one, aria_hidden="true")
    for bar in moved.bars[:SHOWN_INPUTS]:
        length = element("b", style=f"width:{bar.length:.1%}")
        yield element(
            "li",
            element("span", bar.name, class_="mls-feature"),
            element("span", length, class_="mls-bar"),
            element("span", f"{bar.score:.1f}", class_="mls-score"),
            element("span", "▲ drifted" if bar.drifted else "", class_="mls-flag"),
            data_kind="drifted" if bar.drifted else "calm",
        )


def _findings(findings: tuple[str, ...]) -> Markup:
    if not findings:
        return quiet(
            "All data checks passed: nothing is missing or impossible. They cannot see values that "
            "are plausible and wrong."
        )
    rest = f" And {len(findings) - 1} more." if len(findings) > 1 else ""
    return element("p", f"Data checks: {findings[0]}{rest}", class_="mls-wrong")


def quiet(words: str) -> Markup:
    """Return words beside the matter, in a paragraph of their own."""
    return element("p", words, class_="mls-quiet")


# ---- tiles


def tiles(state: RunState) -> Markup:
    """Return the latest week in figures: what was called, what was true, what it cost."""
    return join(*map(_tile, tiles_of(state)))


def _tile(tile: Tile) -> Markup:
    mark = icon("alert") if tile.bad else ""
    value = element("dd", element("b", mark, tile.value), element("span", tile.note))
    name = term(tile.name, meanings()[tile.name], f"tile-{tile.name}")
    return element("div", element("dt", name), value, class_="mls-tile")
