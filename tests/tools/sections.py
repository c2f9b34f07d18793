"""The sections of a notebook: what is left out in an hour, and what is for another half hour."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

MORE = "If you have another half hour"
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_IN_AN_HOUR = re.compile(r"In an hour: leave out (.+?)\.(?:\s|$)")


def parted(notebook: NotebookNode) -> tuple[NotebookNode, NotebookNode]:
    """Return the lesson itself, and the section for those who have another half hour."""
    more = section(notebook, MORE)
    apart = {id(cell) for cell in more}
    lesson = [cell for cell in notebook.cells if id(cell) not in apart]
    return NotebookNode(cells=lesson), NotebookNode(cells=more)


def section(notebook: NotebookNode, heading: str) -> list[NotebookNode]:
    """Return the cells from the one that begins with a heading to the next of its level or above.

    A cell that has the heading further down counts from the next cell on, since it ends something
    else as well.
    """
    found: list[NotebookNode] = []
    level = 0
    for cell in notebook.cells:
        begins = False
        for marks, title in _headings(cell):
            if level and marks <= level:
                level = 0
            if title == heading:
                level = marks
                begins = not cell.source.startswith("#" * marks + " " + heading)
        if level and not begins:
            found.append(cell)
    return found


def left_out_in_an_hour(notebook: NotebookNode) -> list[str]:
    """Return the headings of the sections that the first cell leaves out for an hour's lesson."""
    said = _IN_AN_HOUR.search(notebook.cells[0].source) if notebook.cells else None
    return re.findall(r"\*([^*]+)\*", said[1]) if said else []


def one_hour(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without the code that is left out in an hour."""
    names = [*left_out_in_an_hour(notebook), MORE]
    out: set[int] = set()
    for name in names:
        out |= {id(cell) for cell in section(notebook, name) if cell.cell_type == "code"}
    cut = notebook.copy()
    cut.cells = [cell for cell in notebook.cells if id(cell) not in out]
    return cut


def _headings(cell: NotebookNode) -> Iterator[tuple[int, str]]:
    if cell.cell_type == "markdown":
        for marks, title in _HEADING.findall(cell.source):
            yield len(marks), title.strip()
