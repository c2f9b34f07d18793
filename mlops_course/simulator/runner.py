"""Driving a run: its events read step by step on one thread, to play, pause, step and cancel."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Literal

from mlops_course.core import memory
from mlops_course.core.errors import CourseError
from mlops_course.pipeline.asking import Asked
from mlops_course.pipeline.events import Event, StageFinished, StageStarted, WeekScored
from mlops_course.serving.service import Service

# Seconds from a simulator's making to what it loads beforehand: by then its cell has shown it.
AFTER_THE_CELL = 0.1

Order = Literal["play", "pause", "step", "cancel"]


class Driver:
    """Takes events from a source and hands them on, as far as it is told to.

    Parameters
    ----------
    source
        Opens the events; called on the thread that works, so that trouble shows there.
    hear
        Takes the driver and each event.
    rest
        Takes the driver when it pauses.
    end
        Takes the driver and what stopped it: an exception, or None.
    pace
        Returns the seconds that are to lie between one week and the next; by default none.
    answered
        Returns whether a question of the run has its answer; by default it answers itself.
    """

    _before: "Driver | None"
    _changed: threading.Condition
    _order: Order
    _resting: bool
    _ended: bool
    _last_week: float

    def __init__(
        self,
        source: Callable[[], Iterator[Event]],
        hear: Callable[["Driver", Event], None],
        rest: Callable[["Driver"], None],
        end: Callable[["Driver", BaseException | None], None],
        pace: Callable[[], float] = lambda: 0.0,
        answered: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._hear = hear
        self._rest = rest
        self._end = end
        self._pace = pace
        self._answered = answered
        self._last_week = 0.0
        self._before = None
        self._changed = threading.Condition()
        self._order = "pause"
        self._resting = False
        self._ended = False

    def follow(self, earlier: "Driver | None") -> None:
        """Let an earlier driver end first: both use the same service and store."""
        self._before = earlier

    def start(self) -> None:
        """Work on a thread of its own, which the interpreter's end does not wait for."""
        _load_pipeline()
        threading.Thread(target=self._work_apart, name="mlops-simulator", daemon=True).start()

    def tell(self, order: Order) -> None:
        """Give an order. It holds from the next event on; after ``cancel`` none counts."""
        with self._changed:
            if self._order != "cancel":
                self._order = order
                self._resting = False
            self._changed.notify_all()

    def go_on(self) -> None:
        """Look again whether the question has its answer."""
        with self._changed:
            self._resting = False
            self._changed.notify_all()

    def hurry(self) -> None:
        """Ask for the pace anew: it has changed."""
        with self._changed:
            self._changed.notify_all()

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop for good."""
        return self._order == "cancel"

    def wait(self, timeout: float | None = None, *, for_rest: bool = False) -> bool:
        """Wait until it has ended, or with ``for_rest`` also until it pauses."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._ended or (for_rest and self._resting), timeout
            )

    def work(self) -> None:
        """Take events on the calling thread until the source ends or a cancel arrives."""
        trouble: BaseException | None = None
        events: Iterator[Event] = iter(())
        try:
            if self._before is not None:
                self._before.wait()
                self._before = None
            if not self.cancelled:
                events = self._source()
                self._take(events)
        except BaseException as error:
            trouble = error
            raise
        finally:
            if isinstance(events, Generator):
                with suppress(Exception):
                    events.close()
            self._end(self, trouble)
            memory.give_back()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _work_apart(self) -> None:
        with suppress(CourseError):  # it was handed to `end`; anything else is logged as well
            self.work()

    def _take(self, events: Iterator[Event]) -> None:
        """A step is a stage or a week with all it set off; the next one opens with its event."""
        stepped = False
        for event in events:
            if isinstance(event, WeekScored):
                self._wait_for_the_week()
            if stepped and isinstance(event, StageStarted | WeekScored):
                stepped = False
                self._stop_for_orders()
            if self.cancelled:
                return
            if isinstance(event, WeekScored):
                self._last_week = time.monotonic()
            self._hear(self, event)
            if isinstance(event, Asked) and not self._is_answered():
                return
            stepped = stepped or isinstance(event, StageFinished | WeekScored)

    def _wait_for_the_week(self) -> None:
        """Let the eye see the week before, unless an order comes or the pace is changed."""

        def left() -> float:
            return self._last_week + self._pace() - time.monotonic()

        with self._changed:
            while self._order == "play" and left() > 0:
                self._changed.wait(left())

    def _is_answered(self) -> bool:
        """Rest at a question until it is answered; return False if a cancel came instead."""
        with self._changed:
            self._resting = not self._answered()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered() or self.cancelled)
            return not self.cancelled

    def _stop_for_orders(self) -> None:
        with self._changed:
            if self._order == "step":
                self._order = "pause"
            if self._order != "pause":
                return
        self._rest(self)
        with self._changed:
            self._resting = self._order == "pause"
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._order != "pause")


def warm_up(service: Service, idle: Iterable[Service]) -> threading.Thread:
    """Make ready what a first run would wait for; return the thread that starts the service.

    Parameters
    ----------
    idle
        The services of simulators that run nothing: they are ended, to save memory.
    """

    def start() -> None:
        for other in idle:
            other.close()
        with suppress(CourseError):
            service.start()

    with suppress(RuntimeError):  # there is no event loop outside a notebook
        asyncio.get_running_loop().call_later(AFTER_THE_CELL, _load_pipeline)
    starting = threading.Thread(target=start)
    starting.start()
    return starting


def _load_pipeline() -> None:
    """Import what a run needs, on the thread of the cells.

    Were it imported on another, a cell that imports mlflow meanwhile could get it half made:
    Python breaks a deadlock of two importing threads that way.
    """
    import mlops_course.pipeline.loop  # noqa: F401

    memory.give_back()


def why_it_stopped(trouble: BaseException) -> str:
    """Return what ended a run, in a sentence."""
    if isinstance(trouble, CourseError):
        return str(trouble)
    if isinstance(trouble, KeyboardInterrupt):
        return "The run was interrupted. Press Run pipeline to start again."
    return f"{type(trouble).__name__}: {trouble} (not foreseen: please report it)."
