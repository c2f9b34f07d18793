"""A short document that is shown in three ways: lines for a terminal, Markdown, and HTML.

It has sections with a heading, paragraphs and a table. What it says comes from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from markupsafe import Markup

from mlops_course.core.texts import in_markdown, one_line
from mlops_course.drawing.markup import element, join

WIDTH = 88  # letters of a line in a terminal
LEAST = 24  # of a column that is broken into lines


@dataclass(frozen=True)
class Table:
    """A table: what it shows, the names of its columns, and its rows of texts.

    The first cell of a row says what the row is about.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs under it, and a table below; ``depth`` 1 is the document's title."""

    title: str
    lines: tuple[str, ...] = ()
    table: Table | None = None
    depth: int = 2


def as_text(sections: Sequence[Section]) -> str:
    """Return a document as lines for a terminal, without anything that it would act on."""
    lines: list[str] = []
    for section in sections:
        title = one_line(section.title)
        lines += ["", title, ("=" if section.depth == 1 else "-") * len(title)]
        for line in section.lines:
            lines += wrap(one_line(line), WIDTH) or [""]
        if section.table and section.table.rows:
            lines += ["", *_text_table(section.table)]
    return "\n".join(lines[1:]) + "\n"


def _text_table(table: Table) -> list[str]:
    """Return a table in columns, the last of which is broken into lines where it is long."""
    rows = [[one_line(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    widths[-1] = min(widths[-1], max(WIDTH - sum(widths[:-1]) - 2 * len(widths[:-1]), LEAST))
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        first, *rest = wrap(row[-1], widths[-1]) or [""]
        lines.append("  ".join([*cells, first]).rstrip())
        indent = " " * (sum(widths[:-1]) + 2 * len(cells))
        lines += [indent + more for more in rest]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def as_markdown(sections: Sequence[Section]) -> str:
    """Return a document as Markdown."""
    parts: list[str] = []
    for section in sections:
        parts.append(f"{'#' * section.depth} {in_markdown(section.title)}")
        parts += [in_markdown(line) for line in section.lines]
        if section.table and section.table.rows:
            rows = [section.table.columns, ("---",) * len(section.table.columns)]
            cells = [_markdown_row(row) for row in (*rows, *section.table.rows)]
            parts.append("\n".join(cells))
    return "\n\n".join(parts) + "\n"


def _markdown_row(row: Sequence[str]) -> str:
    return f"| {' | '.join(in_markdown(cell) for cell in row)} |"


def as_html(sections: Sequence[Section], heading: int = 2) -> Markup:
    """Return a document as HTML, its headings and tables named for those who do not see them.

    Parameters
    ----------
    heading
        The level of the document's title on the page that it is put on.
    """
    return element(
        "article", *(_html(section, heading) for section in sections), class_="mls-debrief"
    )


def _html(section: Section, heading: int) -> Markup:
    level = min(heading + section.depth - 1, 6)
    table = _html_table(section.table) if section.table and section.table.rows else ""
    return element(
        "section",
        element(f"h{level}", section.title),
        *(element("p", line) for line in section.lines),
        table,
        aria_label=section.title,
    )


def _html_table(table: Table) -> Markup:
    head = element("tr", *(element("th", name, scope="col") for name in table.columns))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell) for cell in row[1:]),
        )
        for row in table.rows
    ]
    whole = element(
        "table",
        element("caption", table.caption),
        element("thead", head),
        element("tbody", join(*body)),
    )
    # A wide one is moved to and fro by itself, by keyboard too, and not the page.
    return element(
        "div", whole, class_="mls-scroll", tabindex=0, role="region", aria_label=table.caption
    )
