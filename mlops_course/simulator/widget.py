"""A run's picture as a notebook shows it: the live widget, and the still picture in its place."""

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from markupsafe import Markup

from mlops_course.core.errors import ParameterError
from mlops_course.drawing import flights, loop, versions, weekly
from mlops_course.drawing.markup import element, join
from mlops_course.picture import alert_log, hindsight, panel, poster, question, views
from mlops_course.pipeline.events import STAGES
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.pipeline.state import RunState, is_hidden, revealed
from mlops_course.simulator.settings import choices
from mlops_course.telling import narrator, setting_string, standing

_STATIC = files("mlops_course.simulator").joinpath("static")
_SCRIPTS = ("morph.js", "answers.js", "controls.js", "panel.js", "simulator.js")
_STYLES = ("simulator.css", "loop.css")


def script(*names: str) -> str:
    """Return the page's script, or the files named of it."""
    texts = [_STATIC.joinpath(name).read_text(encoding="utf-8") for name in names or _SCRIPTS]
    return "\n".join(texts)


def stylesheet_text() -> str:
    """Return the page's style sheet."""
    return script(*_STYLES)


def about() -> dict[str, str]:
    """Return what the page says of each stage, the same for every run."""
    return {stage: str(panel.about(stage)) for stage in STAGES}


def parts_of(state: RunState, other: RunState | None = None) -> dict[str, Any]:
    """Return a state as the texts of the page, by the names of `Picture`'s traits.

    Parameters
    ----------
    other
        A run that was kept, to be shown beside this one.
    """
    parts: dict[str, Any] = {name: str(view(state)) for name, view in _PARTS.items()}
    parts["chart"] = str(views.accuracy(state, other))
    parts["mode"] = state.status
    parts |= {f"stage_{stage}": str(loop.step(state, stage)) for stage in STAGES}
    parts["figures"] = {stage: str(panel.figures(state, stage)) for stage in STAGES}
    return parts


def _debrief(state: RunState) -> Markup:
    if state.started is None or is_hidden(state):
        return Markup("")
    truth = revealed(state)
    if truth is not None:
        return alert_log.debrief(state, truth.story, truth.response)
    scenario = SCENARIOS[state.started.scenario]
    return alert_log.debrief(state, scenario.story, scenario.response)


def _again(state: RunState) -> Markup:
    run = state.started
    if run is None:
        return Markup("")
    return panel.again(setting_string.of_run(state), package_version(), run.policy)


@cache
def package_version() -> str:
    """Return the version of mlops-course, as it is installed."""
    return version("mlops-course")


_PARTS: Mapping[str, Callable[[RunState], Markup]] = {
    "status": lambda state: join(standing.status(state)),
    "spoken": lambda state: join(standing.spoken(state)),
    "urgent": lambda state: join(standing.urgent(state)),
    "way_back": loop.way_back,
    "batches": loop.legend,
    "versions": versions.render,
    "flights": flights.render,
    "tiles": views.tiles,
    "story": lambda state: join(narrator.story(state)),
    "signals": weekly.signals,
    "inputs": views.inputs,
    "log": alert_log.log,
    "debrief": _debrief,
    "question": question.question,
    "mystery": question.mystery,
    "hindsight": hindsight.hindsight,
    "again": _again,
}


class Obeying(anywidget.AnyWidget):
    """A widget whose page sends messages, which are taken one at a time.

    Attributes
    ----------
    refused
        Why the last message was refused; empty if it was not.
    heard
        How many messages of the page were taken.
    """

    _exclusive: threading.RLock
    refused = traitlets.Unicode().tag(sync=True)
    heard = traitlets.Int().tag(sync=True)

    def __init__(self, **values: object) -> None:
        self._exclusive = threading.RLock()
        super().__init__(**values)

    def obey(self, take: Callable[[Mapping[str, Any]], None]) -> None:
        """Hand each message of the page to ``take``; what it refuses is shown by the controls."""

        def heard(_: object, content: Mapping[str, Any], buffers: object) -> None:
            refused = ""
            try:
                take(content)
            except ParameterError as error:
                refused = str(error)
            with self._exclusive, self.hold_sync():
                self.refused = refused
                self.heard += 1

        self.on_msg(heard)

    def put(self, values: Mapping[str, object]) -> None:
        """Set attributes at once; those that are as before are not sent."""
        with self._exclusive, self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take a change from the page, never in the middle of `put`."""
        with self._exclusive:
            super().set_state(sync_data)


class Picture(Obeying):
    """The picture in the page, one text a part, so that an update sends only what changed.

    Attributes
    ----------
    choices, settings
        What the controls offer, and what they say: `settings.choices` and `settings.shown`.
    moments, at
        The names of the run's moments so far, and the number of the one that is shown, from 0; -1
        for the latest.
    progress
        How far the other choices have been played; empty if none is being played.
    kept
        The name of the run that was kept to be compared with; empty if there is none.
    linked
        Whether the launcher's MLflow shows this simulator's runs, so that links lead somewhere.
    """

    _esm = script()
    _css = stylesheet_text()
    choices = traitlets.Dict().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    moments = traitlets.List(traitlets.Unicode()).tag(sync=True)
    at = traitlets.Int(-1).tag(sync=True)
    kept = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    spoken = traitlets.Unicode().tag(sync=True)
    urgent = traitlets.Unicode().tag(sync=True)
    stale = traitlets.Unicode().tag(sync=True)
    stage_data = traitlets.Unicode().tag(sync=True)
    stage_validate = traitlets.Unicode().tag(sync=True)
    stage_train = traitlets.Unicode().tag(sync=True)
    stage_gate = traitlets.Unicode().tag(sync=True)
    stage_register = traitlets.Unicode().tag(sync=True)
    stage_deploy = traitlets.Unicode().tag(sync=True)
    stage_monitor = traitlets.Unicode().tag(sync=True)
    way_back = traitlets.Unicode().tag(sync=True)
    batches = traitlets.Unicode().tag(sync=True)
    versions = traitlets.Unicode().tag(sync=True)
    flights = traitlets.Unicode().tag(sync=True)
    tiles = traitlets.Unicode().tag(sync=True)
    story = traitlets.Unicode().tag(sync=True)
    chart = traitlets.Unicode().tag(sync=True)
    signals = traitlets.Unicode().tag(sync=True)
    inputs = traitlets.Unicode().tag(sync=True)
    log = traitlets.Unicode().tag(sync=True)
    debrief = traitlets.Unicode().tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    mystery = traitlets.Unicode().tag(sync=True)
    hindsight = traitlets.Unicode().tag(sync=True)
    progress = traitlets.Unicode().tag(sync=True)
    again = traitlets.Unicode().tag(sync=True)
    linked = traitlets.Bool().tag(sync=True)
    figures = traitlets.Dict().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)

    def __init__(self, linked: bool = False) -> None:
        super().__init__(about=about(), choices=choices(), linked=linked)

    def hear(self, content: Mapping[str, Any]) -> None:
        """Take a message of a page that is no notebook, as if it came by Jupyter."""
        self._msg_callbacks(self, content, [])

    def values(self) -> dict[str, Any]:
        """Return what a page has to know, by the names of the attributes."""
        names = {**Obeying.class_own_traits(sync=True), **Picture.class_own_traits(sync=True)}
        return {name: getattr(self, name) for name in names}

    def show(
        self, state: RunState, stale: str = "", other: RunState | None = None, **more: object
    ) -> None:
        """Render a state; parts that look as before are not sent.

        Parameters
        ----------
        stale
            A sentence on why the picture is not what the settings say; usually empty.
        other
            A run that was kept, to be shown beside this one.
        more
            Other traits by name; they go before what the state says.
        """
        parts = {**parts_of(state, other), "stale": str(join(stale)), **more}
        self.put(parts)


class StillPicture:
    """A run's picture for places where no kernel runs; the same for the same run.

    Attributes
    ----------
    svg, description
        The picture as an SVG document, and in words.
    """

    svg: str
    description: str

    def __init__(self, state: RunState) -> None:
        self.svg = str(poster.render(state))
        self.description = poster.describe(state)

    def __repr__(self) -> str:
        return self.description

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> str:
        """Return an ``<img>`` that holds the whole picture."""
        data = b64encode(self.svg.encode()).decode()
        image = element(
            "img",
            src=f"data:image/svg+xml;base64,{data}",
            alt=self.description,
            style="max-width:100%",
        )
        return str(image)
