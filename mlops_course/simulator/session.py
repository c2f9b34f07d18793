"""The runs of one simulator: what the latest said, and who drives it.

Runs, clicks and timers come from threads of their own: whoever changes something here holds `lock`.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlops_course.core.errors import ParameterError
from mlops_course.core.workspace import Workspace
from mlops_course.deciding.choices import CHOICES, Person, check_choice
from mlops_course.pipeline import mystery
from mlops_course.pipeline.asking import Revealed
from mlops_course.pipeline.events import Event
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, advance, fold
from mlops_course.simulator import others
from mlops_course.simulator.runner import Driver, Order, why_it_stopped
from mlops_course.simulator.settings import why_stale


class Session:
    """The latest run, and other choices played after it.

    Parameters
    ----------
    lock
        Held by whoever reads or changes what the session holds.
    changed
        Called when something is to be shown anew; with True when that may wait a little.
    ended
        Called when a run has ended.

    Attributes
    ----------
    state, error
        What is known of the run, and the exception that stopped it, if one did.
    events, began
        Everything the run has said, and the settings that it began with.
    driver, former
        Who drives the run under way, and who drove the one before.
    replay
        Who plays other choices, while that is done.
    """

    lock: threading.RLock
    state: RunState
    error: BaseException | None
    events: list[Event]
    began: RunConfig | None
    driver: Driver | None
    former: Driver | None
    replay: Driver | None
    _person: Person
    _trouble: str

    def __init__(
        self, lock: threading.RLock, changed: Callable[[bool], None], ended: Callable[[], None]
    ) -> None:
        self.lock = lock
        self._changed = changed
        self._ended = ended
        self._person = Person()
        self.driver = None
        self.former = None
        self.replay = None
        self.forget()

    # ---- what is asked of it

    def forget(self, status: str = "idle", began: RunConfig | None = None) -> None:
        """Forget the run and what was played after it."""
        self._stop_replay()
        self.state = RunState(status)
        self.error = None
        self._trouble = ""
        self.began = began
        self.events = []

    def begin(
        self,
        order: Order,
        config: RunConfig,
        source: Callable[[Person], Iterator[Event]],
        pace: Callable[[], float],
        asks: bool,
    ) -> Driver:
        """Return who drives a new run, which has not begun to work.

        Parameters
        ----------
        source
            Opens the run; takes whom it may ask.
        asks
            Whether it asks that person, so that the run waits at each question.
        """
        with self.lock:
            before = self.replay or self.former
            self.forget("running", config)
            person = Person()
            driver = Driver(
                lambda: source(person),
                self._hear,
                self._rest,
                self._end,
                pace,
                answered=lambda: not asks or bool(person.answer),
            )
            driver.follow(before)
            driver.tell(order)
            self._person = person
            self.driver = driver
            self._changed(False)
        return driver

    def go_on(self, order: Order) -> Driver | None:
        """Continue a run that pauses, and return who drives it; None if it does not pause."""
        with self.lock:
            if self.driver is None or self.state.status != "paused":
                return None
            self.state = replace(self.state, status="running")
            self.driver.tell(order)
            self._changed(False)
            return self.driver

    def pause(self) -> None:
        """Stop after the stage or week that is under way."""
        with self.lock:
            if self.driver is not None:
                self.driver.tell("pause")

    def answer(self, choice: str) -> None:
        """Answer the question at which the run waits; see `PipelineSimulator.choose`."""
        check_choice(choice)
        with self.lock:
            if self.state.status != "asking" or self.driver is None:
                raise ParameterError(
                    "No question is open.",
                    "A run asks at an alert if it was started with Ask me at an alert.",
                    "Wait for the next alert.",
                )
            self._person.answer = choice
            self.state = replace(self.state, status="running")
            self.driver.go_on()
            self._changed(False)

    def diagnose(self, config: RunConfig, named: str) -> Revealed:
        """Reveal a mystery; see `PipelineSimulator.diagnose`."""
        with self.lock:
            told = mystery.reveal(self.began or config, self.events, self.state, named)
            self.events.append(told)
            self.state = replace(fold(self.events), status=self.state.status)
            self._changed(False)
        return told

    def play_others(self, workspace: Workspace | str | Path | None) -> Driver | None:
        """Return who plays other choices, not yet at work; None while somebody does already."""
        with self.lock:
            others.check_finished(self.state)
            if self.replay is not None or self.began is None:
                return None
            source = partial(others.play_others, self.began, self.state, workspace)
            self.replay = Driver(source, self._hear, self._rest, self._end)
            self.replay.tell("play")
            self._changed(False)
            return self.replay

    def reset(self) -> None:
        """Forget the run; one under way ends after what it is doing."""
        with self.lock:
            if self.driver is not None:
                self.driver.tell("cancel")
                self.former = self.driver
                self.driver = None
            self.forget()

    def close(self) -> None:
        """Stop what is under way, and wait a little for its end."""
        under_way = [it for it in (self.driver or self.former, self.replay) if it is not None]
        for driver in under_way:
            driver.tell("cancel")
        for driver in under_way:
            driver.wait(10)

    @property
    def progress(self) -> str:
        """How far the other choices have been played, or why not; empty if nobody plays any."""
        if self.replay is None:
            return self._trouble
        return f"Playing the other choices: {len(self.state.others)} of {len(CHOICES) - 1} done."

    def why_stale(self, now: RunConfig) -> str:
        """Return why a run that has ended is not what the settings say now; empty if it is."""
        is_over = self.state.status in ("finished", "failed")
        return why_stale(self.began, now) if is_over and self.began else ""

    # ---- what the drivers tell

    def _stop_replay(self) -> None:
        if self.replay is not None:
            self.replay.tell("cancel")
            self.replay = None

    def _hear(self, driver: Driver, event: Event) -> None:
        with self.lock:
            if driver not in (self.driver, self.replay):
                return
            self.events.append(event)
            state = advance(self.state, event)
            self.state = replace(state, status="running") if state.status == "paused" else state
            self._changed(self.state.status != "asking")

    def _rest(self, driver: Driver) -> None:
        with self.lock:
            if driver is self.driver:
                self.state = replace(self.state, status="paused")
                self._changed(False)

    def _end(self, driver: Driver, trouble: BaseException | None) -> None:
        with self.lock:
            if driver is self.replay:
                self.replay = None
                self._trouble = why_it_stopped(trouble) if trouble else ""
                self._changed(False)
            if driver is not self.driver:
                return
            self.driver = None
            self.former = driver
            self.error = trouble
            if trouble is not None:
                self.state = replace(self.state, status="failed", error=why_it_stopped(trouble))
            self._changed(False)
        self._ended()
