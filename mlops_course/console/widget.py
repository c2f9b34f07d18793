"""The console in the page, one text a part, and what stands in its place without a kernel."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from uuid import uuid4

import traitlets
from IPython.display import display
from markupsafe import Markup

from mlops_course.console import views
from mlops_course.console.ending import debrief_of, ending
from mlops_course.console.page import Page, day_words
from mlops_course.console.session import BUSY, Session
from mlops_course.drawing.markup import element, join
from mlops_course.simulator.kept import STYLE, WIDGET_VIEW
from mlops_course.simulator.widget import Obeying, script, stylesheet_text

_STATIC = files("mlops_course.console").joinpath("static")
RUN_IT = "Run this cell to play: the shift goes on where it was."
STILL_ENTRIES = 8
SHOWN_ENTRIES = 200


def _static(name: str) -> str:
    return _STATIC.joinpath(name).read_text(encoding="utf-8")


class ConsoleView(Obeying):
    """The console's parts, as HTML or text.

    Attributes
    ----------
    looks, causes
        What can be looked at, and stated as a cause; the same for every shift.
    mode
        One of the modes of `session`.
    day
        The day of the shift; once it changes, a stated cause is stated no longer.
    status, urgent, progress
        What was said last, what the pager said last, how far something long has come.
    pages, at
        The names of the pages looked at, the newest first, and the place of the one that is shown.
    """

    _esm = f"{script('morph.js')}\n{_static('console.js')}"
    _css = f"{stylesheet_text()}\n{_static('console.css')}"
    looks = traitlets.Unicode().tag(sync=True)
    causes = traitlets.List(traitlets.List()).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    day = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    urgent = traitlets.Unicode().tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)
    progress = traitlets.Unicode().tag(sync=True)
    clock = traitlets.Unicode().tag(sync=True)
    pager = traitlets.Unicode().tag(sync=True)
    timeline = traitlets.Unicode().tag(sync=True)
    pages = traitlets.List(traitlets.Unicode()).tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)
    page = traitlets.Unicode().tag(sync=True)
    actions = traitlets.Unicode().tag(sync=True)
    log = traitlets.Unicode().tag(sync=True)
    ending = traitlets.Unicode().tag(sync=True)
    debrief = traitlets.Unicode().tag(sync=True)

    def __init__(self, title: str) -> None:
        causes = [list(cause) for cause in views.causes()]
        super().__init__(looks=str(views.looks()), causes=causes, title=title)

    def show(self, session: Session, at: int = 0) -> None:
        """Render a session; parts that look as before are not sent.

        Parameters
        ----------
        at
            Which page is shown, from the newest, 0.
        """
        with session.lock:
            values = parts_of(session, at)
        self.put(values)


def pages_of(session: Session) -> list[Page]:
    """Return what was looked at, the newest first."""
    return [Page(look, step.day, step.minute) for step, look in session.engine.pages[::-1]]


def parts_of(session: Session, at: int = 0) -> dict[str, Any]:
    """Return a session as the texts of the page, by the names of `ConsoleView`'s traits."""
    drill = session.drill
    pages = pages_of(session)
    score = session.hindsight.score
    debrief = session.hindsight.debrief
    return {
        "mode": session.mode,
        "day": str(drill.today),
        "status": status(session),
        "urgent": session.called if session.mode not in BUSY else "",
        "trouble": session.trouble,
        "progress": session.progress,
        "clock": str(views.clock(drill)),
        "pager": str(views.pager(drill)),
        "timeline": str(views.timeline(drill)),
        "pages": [page.title for page in pages],
        "at": at,
        "page": str(pages[at].html()) if pages else "",
        "actions": str(views.actions(drill)),
        "log": str(views.log(drill, SHOWN_ENTRIES)),
        "ending": str(ending(score, drill)) if score is not None else "",
        "debrief": str(debrief_of(debrief)) if debrief is not None else "",
    }


def status(session: Session) -> str:
    """Return where the shift is, and what was said last, in words."""
    drill = session.drill
    where = "The shift is over." if drill.over else f"{day_words(drill.today)}."
    told = "" if session.told.startswith(where) else session.told
    return f"{where} {told}".strip()


def still(session: Session, title: str) -> Markup:
    """Return a session as it is now, for places where no kernel runs."""
    with session.lock:
        drill = session.drill
        found = session.hindsight
        pages = pages_of(session)
        parts = [
            element("h3", title),
            element("p", status(session)),
            _clock_table(session),
            views.pager(drill),
            *([pages[0].html()] if pages else []),
            element("h4", "Log"),
            views.log(drill, STILL_ENTRIES),
            *([ending(found.score, drill)] if found.score is not None else []),
            *([debrief_of(found.debrief)] if found.debrief is not None else []),
        ]
    return join(*parts)


def _clock_table(session: Session) -> Markup:
    rows = [
        element("tr", element("th", name, scope="row"), element("td", value), element("td", more))
        for name, value, more in views.tiles(session.drill)
    ]
    caption = element("caption", "Where the shift is")
    return element("table", caption, element("tbody", *rows))


def still_text(session: Session, title: str) -> str:
    """Return a session as it is now as lines of text."""
    with session.lock:
        drill = session.drill
        tiles = [f"{name}: {value} ({more})" for name, value, more in views.tiles(drill)]
        alarms = views.alarm_lines(drill)
        lines: Sequence[str] = (title, *tiles, *alarms, *views.log_lines(drill, STILL_ENTRIES))
    return "\n".join(lines)


class KeptConsole:
    """The two outputs of one console: what stays, and the live widget."""

    def __init__(self) -> None:
        self._name = uuid4().hex
        self._is_shown = False

    def show(self, words: str, picture: Markup, view: ConsoleView) -> None:
        """Show a console as a cell's outputs."""
        live = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
        display(_bundle(words, picture), raw=True, display_id=self._name)
        display({WIDGET_VIEW: live}, raw=True)
        self._is_shown = True

    def keep(self, words: str, picture: Markup, view: ConsoleView) -> None:
        """Put the shift as it is now in place of what stayed, if somebody follows it in a page."""
        if self._is_shown and view.heard:
            bundle = _bundle(words, picture)
            display(bundle, raw=True, display_id=self._name, update=True)


def _bundle(words: str, picture: Markup) -> dict[str, str]:
    style = element("style", Markup(STYLE))
    html = element("div", style, element("p", RUN_IT), picture, class_="mls-kept")
    return {"text/plain": words, "text/html": str(html)}
