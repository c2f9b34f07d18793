"""A run kept event by event: any moment of it again, and the whole of it as one page.

The page needs no kernel and no network. It shows what the widget showed, drawn by the same views
from the same events, and the same script puts it in place.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.core.files import check_writing, write_text
from mlops_course.core.texts import short
from mlops_course.drawing.markup import Markup, element, join
from mlops_course.pipeline.events import Event, StageFailed, StageFinished, StageStarted, WeekScored
from mlops_course.pipeline.state import RunState, advance, fold
from mlops_course.simulator.settings import Settings, choices, shown
from mlops_course.simulator.widget import (
    about,
    package_version,
    parts_of,
    script,
    stylesheet_text,
)
from mlops_course.telling import setting_string
from mlops_course.telling.wording import day, run_title, stage_title

_PLAYER = ("model.js", "player.js")
PAGE_STYLE = """
h1 { font-size: 20px; margin: 0; }
h2 { font-size: 16px; margin: 0; }
html { background: #fff; }
html[data-jp-theme-light="false"] {
  --jp-layout-color0: #111; --jp-layout-color1: #212121; --jp-layout-color2: #2b2b2b;
  --jp-ui-font-color1: #ececec; --jp-ui-font-color2: #b0b0b0; --jp-border-color2: #565656;
  background: #111; color: #ececec;
}
body {
  max-width: 1000px; margin: 16px auto; padding: 0 16px; font: 14px/1.5 system-ui, sans-serif;
}
"""


@dataclass(frozen=True)
class Moment:
    """A stage or a week of a run.

    Attributes
    ----------
    name
        What one calls it: ``Train``, ``week 4, 23 Sep``.
    events
        How many events of the run had come when all that it set off was told.
    """

    name: str
    events: int


def moments(events: Sequence[Event]) -> list[Moment]:
    """Return the stages and weeks of a run that have ended, in order.

    >>> moments([StageFinished("data", 1, 0.1, "65,272 flights", {})])
    [Moment(name='Data', events=1)]
    """
    found: list[Moment] = []
    for count, event in enumerate(events, start=1):
        match event:
            case StageFinished() | StageFailed():
                cycle = f" (cycle {event.cycle})" if event.cycle > 1 else ""
                found.append(Moment(f"{stage_title(event.stage)}{cycle}", count))
            case WeekScored():
                found.append(Moment(f"week {event.number}, {day(event.week)}", count))
            case StageStarted():
                pass
            case _ if found:
                found[-1] = replace(found[-1], events=count)
    return found


def check_moment(moment: object, events: Sequence[Event]) -> None:
    """Raise a `ParameterError` if a run has no moment of that number yet, from 0."""
    count = len(moments(events))
    if type(moment) is not int or not 0 <= moment < count:
        raise ParameterError(
            f"There is no moment {short(repr(moment))}.",
            f"The run has moments from 0 to {count - 1} so far." if count else "Nothing has run.",
            "Choose one of them, or None for the latest.",
        )


def state_at(events: Sequence[Event], moment: Moment) -> RunState:
    """Return what was known of a run at one of its moments."""
    return fold(events[: moment.events])


def looking_back(moment: Moment) -> dict[str, str]:
    """Return what the page says of the run, by its parts, while it shows a moment again."""
    words = str(join(f"Looking back at {moment.name}. Latest returns to where the run is."))
    return {"status": words, "spoken": words, "urgent": ""}


def page(events: Sequence[Event], settings: Settings, kept: RunState | None = None) -> str:
    """Return a run as an HTML page of its own, to be played, scrubbed and clicked through.

    Parameters
    ----------
    events
        Those of a whole run.
    settings
        What it was run with.
    kept
        Another run, to be shown beside it.

    Raises
    ------
    ParameterError
        If no stage has ended yet.
    """
    marks = moments(events)
    if not marks:
        raise ParameterError(
            "There is no run to save.",
            "A recording shows a run of at least one stage.",
            "Press Run pipeline, and save then.",
        )
    state = fold(events)
    recorded = {
        "made": _made(state),
        "choices": choices(),
        "settings": shown(settings),
        "about": about(),
        "moments": [mark.name for mark in marks],
        "frames": _frames(events, marks, kept),
    }
    packed = b64encode(gzip.compress(json.dumps(recorded).encode(), mtime=0)).decode()
    title = run_title(state.started) if state.started else "A run"
    told = (
        f"Recorded from a real run on real flights, by mlops-course {package_version()}. "
        f"Play it, move in time, choose a stage; the settings are those of the run."
    )
    code = f"{script()}\n{script(*_PLAYER)}"
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Pipeline simulator: {title}"),
        element("style", Markup(f"{stylesheet_text()}\n{PAGE_STYLE}")),
    )
    heads = join(element("h1", "The pipeline simulator"), element("h2", title))
    body = join(
        element("main", heads, element("p", told), element("div", id="picture")),
        element("script", packed, type="application/octet-stream", id="recording"),
        element("script", Markup(code), type="module"),
    )
    return f'<!doctype html>\n<html lang="en">{head}{element("body", body)}</html>\n'


def _made(state: RunState) -> dict[str, str]:
    """Return what makes the run again: its settings as a line, and the package's version."""
    return {"settings": setting_string.of_run(state), "version": package_version()}


def save(
    events: Sequence[Event], settings: Settings, path: Path, kept: RunState | None = None
) -> Path:
    """Write a run's page to a file, and return its path.

    Raises
    ------
    ParameterError
        If no stage has ended yet.
    WorkspaceError
        If the file cannot be written.
    """
    text = page(events, settings, kept)
    try:
        write_text(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def check_path(path: Path) -> None:
    """Raise a `WorkspaceError` if no page can be written there: before a run, and not after it."""
    try:
        check_writing(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"{path} cannot be written ({error.strerror}).",
        "A recording is one file, in a folder that is there.",
        "Name another file.",
    )


def _frames(
    events: Sequence[Event], marks: Sequence[Moment], kept: RunState | None
) -> list[dict[str, Any]]:
    """Return what changes in the picture from one moment to the next; the first is whole."""
    frames = []
    state = RunState()
    before: dict[str, Any] = {}
    told = 0
    for mark in marks:
        for event in events[told : mark.events]:
            state = advance(state, event)
        told = mark.events
        parts = parts_of(state, kept)
        frames.append({name: part for name, part in parts.items() if part != before.get(name)})
        before = parts
    return frames
