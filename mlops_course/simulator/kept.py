"""The run that stays in a notebook: what stands where the live simulator cannot.

A simulator puts two outputs under its cell: this one, and the live widget. One of them hides. Where
the widget's kernel has gone, or none ever ran, its place would be blank or an error: there the
picture stands, and after a run in the page a recording that can be played. A notebook that is not
trusted may show neither scripts nor styles; there the still picture stands.
"""

from collections.abc import Sequence
from uuid import uuid4

from IPython.display import display

from mlops_course.drawing.markup import Markup, element, join
from mlops_course.pipeline.events import Event
from mlops_course.pipeline.state import RunState, fold
from mlops_course.simulator import recording
from mlops_course.simulator.settings import Settings
from mlops_course.simulator.widget import Picture, StillPicture

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
RUN_IT = "Run this cell for the live simulator."

# An output in JupyterLab, Notebook 7, Voila and a page of nbconvert. The widget's is the next.
_OUTPUT = ".jp-OutputArea-child"
STYLE = f"""
{_OUTPUT}:has(.mls-kept):has(+ {_OUTPUT} .mls) {{ display: none; }}
{_OUTPUT}:has(.mls-kept) + {_OUTPUT}:not(:has(.mls)) {{ display: none; }}
.mls-kept iframe {{ width: 100%; height: 1200px; border: 0; }}
.mls-kept:has(iframe) img {{ display: none; }}
"""


class Kept:
    """The two outputs of one simulator, wherever its cell shows it."""

    _name: str
    _is_shown: bool

    def __init__(self) -> None:
        self._name = uuid4().hex
        self._is_shown = False

    def show(self, words: str, still: StillPicture, view: Picture) -> None:
        """Show a simulator as a cell's outputs: what stays, and the live widget.

        Parameters
        ----------
        words
            The simulator as text.
        """
        live = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
        bundle = {"text/plain": words, "text/html": outputs_html(still)}
        display(bundle, raw=True, display_id=self._name)
        display({WIDGET_VIEW: live}, raw=True)
        self._is_shown = True

    def keep(
        self,
        words: str,
        view: Picture,
        events: Sequence[Event],
        settings: Settings,
        other: RunState | None,
    ) -> None:
        """Put a run in place of the one that stayed so far, if somebody follows it in a page.

        What runs without a page, for instance when a notebook is executed, leaves the output as it
        was: a stored notebook holds no recordings.
        """
        if not (self._is_shown and view.heard and recording.moments(events)):
            return
        page = recording.page(events, settings, other)
        html = outputs_html(StillPicture(fold(events)), page, view.status)
        bundle = {"text/plain": words, "text/html": html}
        display(bundle, raw=True, display_id=self._name, update=True)


def outputs_html(still: StillPicture, page: str = "", status: str = "") -> str:
    """Return what stays: a sentence, the picture, and a recording where scripts are allowed.

    Parameters
    ----------
    page
        The recording, a page of its own; empty for none.
    status
        What the widget said at the end of that run: one that is restored without its kernel gives
        way to the recording if it shows the same run.
    """
    told = f"The last run in this notebook. {RUN_IT}" if page else RUN_IT
    parts = [element("style", Markup(STYLE)), element("p", told)]
    if page:
        parts.append(element("iframe", srcdoc=page, title="The last run, recorded"))
    parts.append(Markup(still.html()))
    return str(element("div", join(*parts), class_="mls-kept", data_status=status))
