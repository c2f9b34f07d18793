"""A page of the dashboard, as HTML with a table, and as text."""

from dataclasses import dataclass, field
from datetime import date
from math import isnan
from typing import Any

import pandas as pd
from markupsafe import Markup

from mlops_course.drawing.markup import element, join
from mlops_course.oncall.looks import Look

NOT_KNOWN = "not known"
_SHARES = frozenset(
    (
        *("called_late", "confidence", "unanswered", "missing", "unseen"),
        *("accuracy", "upper", "rule", "observed_late", "labelled"),
        *("right", "called", "late", "dep_delay, empty", "weather, empty"),
    )
)
_WORDS = {
    "usual_flights": "usual flights",
    "called_late": "called late",
    "confidence": "mean confidence",
    "missing": "emptiest input, empty",
    "unseen": "unknown names",
    "ms": "ms a request",
    "monday": "week of",
    "upper": "accuracy at most",
    "rule": "the rule's accuracy",
    "observed_late": "were late",
    "labelled": "labels in",
    "drift": "inputs drifted",
    "right": "accuracy",
    "called": "called late",
    "late": "were late",
    "of": "is an",
    "origin": "airport",
    "carrier": "airline",
}


def day_words(day: date) -> str:
    """Return a day for people.

    >>> day_words(date(2013, 4, 17))
    'Wed 17 Apr 2013'
    """
    return f"{day:%a} {day.day} {day:%b %Y}"


@dataclass(frozen=True)
class Page:
    """What was looked at, and when; in a notebook it shows itself with its table.

    Attributes
    ----------
    look
        What `engine.Engine.look` returned.
    day, minute
        The day, and the minute of its work.
    """

    look: Look
    day: date = field(default=date.min)
    minute: int = 0

    @property
    def title(self) -> str:
        """Its name, and the day of which it is."""
        return f"{self.look.title}, {day_words(self.day)}, minute {self.minute}"

    @property
    def facts(self) -> Any:
        """The same by name, for whoever plays by program."""
        return self.look.facts

    @property
    def cells(self) -> list[list[str]]:
        """The table in words, its head first; empty for a page without one."""
        table = self.look.table
        if table is None or table.empty:
            return []
        head = [_WORDS.get(str(name), str(name)) for name in table.columns]
        rows = [
            [_cell(str(name), row) for name in table.columns] for row in table.to_dict("records")
        ]
        return [head, *rows]

    def html(self) -> Markup:
        """Return its lines and its table."""
        lines = [element("p", line) for line in self.look.lines]
        return join(element("h4", self.title), *lines, self._table())

    def _table(self) -> Markup:
        if not self.cells:
            return Markup("")
        head = [element("th", words, scope="col") for words in self.cells[0]]
        rows = [
            element(
                "tr",
                element("th", row[0], scope="row"),
                *(element("td", words) for words in row[1:]),
            )
            for row in self.cells[1:]
        ]
        table = element(
            "table",
            element("caption", self.title),
            element("thead", element("tr", *head)),
            element("tbody", *rows),
        )
        return element(
            "div",
            table,
            class_="mls-scroll",
            tabindex=0,
            role="region",
            aria_label=f"Table: {self.title}",
        )

    def text(self) -> str:
        """Return its lines and its table as text."""
        if not self.cells:
            return "\n".join((self.title, *self.look.lines))
        widths = [max(map(len, column)) for column in zip(*self.cells, strict=True)]
        rows = [
            "  ".join(
                words.ljust(width) if place == 0 else words.rjust(width)
                for place, (words, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in self.cells
        ]
        return "\n".join((self.title, *self.look.lines, *rows))

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return str(self.html())


def _cell(name: str, row: dict[Any, Any]) -> str:
    value = row[name]
    figure = str(row.get("figure", name))
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, date | pd.Timestamp):
        return str(value)[:10]
    if isinstance(value, str):
        return _WORDS.get(value, value)
    number = float(value)
    if isnan(number):
        return NOT_KNOWN
    if figure in _SHARES or name in _SHARES:
        return f"{number:.1%}"
    return f"{number:,.0f}" if number.is_integer() else f"{number:,.1f}"
