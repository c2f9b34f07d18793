"""What the widget shows of a run: the newest state, or one of its moments again.

It draws at most ten times a second, however fast events come.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlops_course.drawing.markup import join
from mlops_course.pipeline.events import Event
from mlops_course.pipeline.state import RunState
from mlops_course.simulator import recording
from mlops_course.simulator.settings import Settings, shown
from mlops_course.simulator.widget import Picture, parts_of
from mlops_course.telling.wording import run_title

REFRESH_SECONDS = 0.1
# Parts that are for whoever acts now, and stay while an earlier moment is looked at.
_OF_NOW = ("mode", "question", "mystery", "hindsight")


@dataclass(frozen=True)
class Content:
    """What there is to show.

    Attributes
    ----------
    state, events
        What is known of the run, and all that it said.
    settings
        What the controls say.
    stale
        Why the picture is not what the settings say; usually empty.
    progress
        How far other choices have been played; usually empty.
    kept
        The state of a run that is shown beside this one; usually None.
    """

    state: RunState
    events: Sequence[Event]
    settings: Settings
    stale: str
    progress: str
    kept: RunState | None


class Screen:
    """Draws what there is to show in a widget.

    Parameters
    ----------
    view
        The widget.
    content
        Returns what there is to show.
    lock
        Held while that is read and drawn.

    Attributes
    ----------
    at
        The number of the moment that is shown, from 0; None for the latest.
    """

    at: int | None

    def __init__(
        self, view: Picture, content: Callable[[], Content], lock: threading.RLock
    ) -> None:
        self.at = None
        self._view = view
        self._content = content
        self._lock = lock
        self._next = 0.0
        self._timer: threading.Timer | None = None

    def show(self, may_wait: bool) -> None:
        """Draw now, or if it may wait, once the time between two drawings has passed."""
        wait = self._next - time.monotonic()
        if wait <= 0 or not may_wait:
            self.draw()
        elif self._timer is None:
            self._timer = threading.Timer(wait, self.draw)
            self._timer.daemon = True
            self._timer.start()

    def draw(self) -> None:
        """Draw now."""
        with self._lock:
            self._timer = None
            self._next = time.monotonic() + REFRESH_SECONDS
            now = self._content()
            marks = recording.moments(now.events)
            told = {
                "moments": [mark.name for mark in marks],
                "settings": shown(now.settings),
                "progress": str(join(now.progress)),
                "kept": _name_of(now.kept),
            }
            if self.at is None:
                self._view.show(now.state, now.stale, now.kept, at=-1, **told)
                return
            mark = marks[self.at]
            past = recording.state_at(now.events, mark)
            parts = parts_of(now.state)
            told |= recording.looking_back(mark) | {name: parts[name] for name in _OF_NOW}
            self._view.show(past, now.stale, now.kept, at=self.at, **told)


def _name_of(kept: RunState | None) -> str:
    return run_title(kept.started) if kept and kept.started else ""
