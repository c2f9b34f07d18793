"""A run's picture as a notebook shows it: the live widget, and the still picture in its place."""

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from markupsafe import Markup

from mlops_course.core.errors import ParameterError
from mlops_course.pipeline import wording
from mlops_course.pipeline.events import STAGES
from mlops_course.pipeline.state import RunState
from mlops_course.simulator import alert_log, poster, views
from mlops_course.simulator.markup import element, join
from mlops_course.simulator.settings import choices

_STATIC = files("mlops_course.simulator").joinpath("static")
_SCRIPTS = ("controls.js", "simulator.js")
_PARTS: Mapping[str, Callable[[RunState], Markup]] = {
    "status": lambda state: join(wording.status(state)),
    "spoken": lambda state: join(wording.spoken(state)),
    "urgent": lambda state: join(wording.urgent(state)),
    "strip": views.strip,
    "tiles": views.tiles,
    "chart": views.accuracy,
    "inputs": views.inputs,
    "log": alert_log.log,
}


class Picture(anywidget.AnyWidget):
    """The picture in the page, one text a part, so that an update sends only what changed.

    Attributes
    ----------
    choices, settings
        What the controls offer, and what they say: `settings.choices` and `settings.shown`.
    refused
        Why the last change was refused; empty if it was not.
    heard
        How many messages of the page were taken.
    """

    _esm = "\n".join(_STATIC.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = _STATIC.joinpath("simulator.css").read_text(encoding="utf-8")
    _exclusive: threading.RLock
    choices = traitlets.Dict().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    refused = traitlets.Unicode().tag(sync=True)
    heard = traitlets.Int().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    spoken = traitlets.Unicode().tag(sync=True)
    urgent = traitlets.Unicode().tag(sync=True)
    stale = traitlets.Unicode().tag(sync=True)
    strip = traitlets.Unicode().tag(sync=True)
    tiles = traitlets.Unicode().tag(sync=True)
    chart = traitlets.Unicode().tag(sync=True)
    inputs = traitlets.Unicode().tag(sync=True)
    log = traitlets.Unicode().tag(sync=True)
    debrief = traitlets.Unicode().tag(sync=True)
    figures = traitlets.Dict().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        self._exclusive = threading.RLock()
        about = {stage: str(views.about(stage)) for stage in STAGES}
        super().__init__(about=about, choices=choices())

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

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take a change from the page, never in the middle of `show`."""
        with self._exclusive:
            super().set_state(sync_data)

    def show(self, state: RunState, stale: str = "", debrief: str = "") -> None:
        """Render a state; parts that look as before are not sent.

        Parameters
        ----------
        stale
            A sentence on why the picture is not what the settings say; usually empty.
        debrief
            Markup of what truly happened, once the run is over.
        """
        parts: dict[str, Any] = {name: str(view(state)) for name, view in _PARTS.items()}
        parts["mode"] = state.status
        parts["stale"] = str(join(stale))
        parts["debrief"] = str(join(debrief))
        parts["figures"] = {stage: str(views.figures(state, stage)) for stage in STAGES}
        with self._exclusive, self.hold_sync():
            for name, value in parts.items():
                setattr(self, name, value)


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
