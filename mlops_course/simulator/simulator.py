"""The pipeline simulator: controls, a picture, and a real run behind them.

Nothing is made up here: the picture shows the events of `pipeline.run_pipeline` and nothing
else. Whatever a button does, a method does too, without a browser.
"""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.workspace import Workspace
from mlops_course.pipeline.events import Event
from mlops_course.pipeline.policies import Policy
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunResult, RunState, advance, result_of
from mlops_course.serving.service import Service
from mlops_course.simulator import recording
from mlops_course.simulator.kept import Kept
from mlops_course.simulator.runner import Driver, Order, warm_up, why_it_stopped
from mlops_course.simulator.settings import (
    PACES,
    Settings,
    changed,
    retrain_word,
    shown,
    why_stale,
)
from mlops_course.simulator.widget import Picture, StillPicture

REFRESH_SECONDS = 0.1


class PipelineSimulator:
    """A pipeline that runs for real, with controls, a picture and data frames.

    Parameters
    ----------
    scenario
        A key of `scenarios.SCENARIOS`: ``good``, ``drift``, ``real-year`` or an incident.
    weeks
        Weeks of production; None takes the scenario's own number.
    seed
        Draws the days of training and of every week anew; None takes the days as they were.
    threshold
        Accuracy below which the alert fires.
    retrain
        Whether to retrain automatically when an alert persists: True or ``auto``, False or
        ``never``.
    workspace
        The folder for results; by default that of `workspace.open_workspace`.
    policy
        What decides when to retrain, and on what, where ``retrain`` lets it; None for the usual.
    pace
        How fast weeks pass on the screen, a key of `settings.PACES`: ``watch`` (one a second),
        ``quick`` (four) or ``instant``. `run` takes no notice of it.

    Attributes
    ----------
    state, error
        What is known of the run, and the exception that stopped it, if one did.
    service
        The scoring service; after a run it still answers at ``service.url``.
    settings
        What the controls say.
    view
        The widget: the controls and the picture.

    Raises
    ------
    ParameterError
        If a value is out of range.
    """

    state: RunState
    error: BaseException | None
    service: Service
    settings: Settings
    view: Picture
    _made: ClassVar[int] = 0

    # The run: what it said, who drives it or did last, and the settings that it began with.
    _workspace: Workspace | str | Path | None
    _policy: Policy | None
    _events: list[Event]
    _driver: Driver | None
    _former: Driver | None
    _shown: RunConfig | None
    _at: int | None
    _made_before_run: int
    _warm_up: threading.Thread
    _kept: Kept

    # Runs, clicks and timers come from threads of their own: whoever changes the state holds this.
    _lock: threading.RLock
    _next_render: float
    _timer: threading.Timer | None

    def __init__(
        self,
        scenario: str = "good",
        weeks: int | None = None,
        seed: int | None = 0,
        threshold: float = 0.90,
        retrain: bool | str = True,
        workspace: Workspace | str | Path | None = None,
        policy: Policy | None = None,
        pace: str = "watch",
    ) -> None:
        config = RunConfig(scenario, weeks, seed, threshold, retrain_word(retrain))
        self.settings = Settings(config, pace)
        self.service = Service()
        self._forget()
        self._workspace = workspace
        self._policy = policy
        self._driver = None
        self._former = None
        self._lock = threading.RLock()
        self._next_render = 0.0
        self._timer = None
        self._kept = Kept()
        self.view = Picture()
        self.view.obey(self._obey)
        self._render()
        idle = [other.service for other in _ALL if other._driver is None]
        _ALL.add(self)
        PipelineSimulator._made += 1
        weakref.finalize(self, self.service.close)
        self._warm_up = warm_up(self.service, idle)

    # ---- what a person does

    def run(self, scenario: str | None = None) -> "PipelineSimulator":
        """Run the whole pipeline here and now, and return when it is done.

        Raises
        ------
        CourseError
            If the run cannot start or a stage fails; what happened before is kept.
        """
        if scenario is not None:
            RunConfig(scenario)  # an unknown one is refused before the former run is forgotten
        self.reset()
        if scenario is not None:
            self.change(scenario=scenario)
        self._begin("play", lambda: 0.0).work()
        if self.state.status == "failed":
            raise CourseError("The run stopped.", self.state.error, "What it had finished is kept.")
        return self

    def play(self) -> None:
        """Run or continue on a thread of its own, and return at once: the *Run* button."""
        self._order("play")

    def step(self) -> None:
        """Do one stage or one week of production, and return when it is done."""
        driver = self._order("step")
        if driver is not None:
            driver.wait(for_rest=True)

    def pause(self) -> None:
        """Stop after the stage or week that is under way."""
        with self._lock:
            if self._driver is not None:
                self._driver.tell("pause")

    def change(self, **values: object) -> None:
        """Change settings, named as when the simulator is made; during a run, the pace alone.

        Raises
        ------
        ParameterError
            If a value is none that the setting may have, or a run is under way; nothing changes.
        """
        with self._lock:
            if self._driver is not None and set(values) - {"pace"}:
                raise ParameterError(
                    "A run is under way.",
                    "Its settings stay as they are until it ends.",
                    "Wait for its end, or press Reset.",
                )
            new = self.settings
            for name in sorted(values, key=lambda name: name != "scenario"):
                new = changed(new, name, values[name])
            self.settings = new
            if self._driver is not None:
                self._driver.hurry()
            self._render()

    def reset(self) -> None:
        """Forget the run; one under way ends after what it is doing."""
        with self._lock:
            if self._driver is not None:
                self._driver.tell("cancel")
                self._former = self._driver
                self._driver = None
            self._forget()
            self._render()

    def look_at(self, moment: int | None) -> None:
        """Show a moment of the run again, from 0; None returns to the latest.

        A run under way goes on meanwhile. ``view.moments`` names them.

        Raises
        ------
        ParameterError
            If there is no such moment yet.
        """
        with self._lock:
            if moment is not None:
                recording.check_moment(moment, self._events)
            self._at = moment
            self._render()

    def save(self, path: str | Path) -> Path:
        """Save the run as one HTML page that needs neither kernel nor network.

        Raises what `recording.save` raises.
        """
        return recording.save(*self._recorded(), Path(path))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a run in the background has paused or ended; False if time ran out."""
        driver = self._driver
        return driver is None or driver.wait(timeout, for_rest=True)

    def close(self) -> None:
        """Stop the run and the scoring service; a later run starts the service anew."""
        driver = self._driver or self._former
        if driver is not None:
            driver.tell("cancel")
            driver.wait(10)
        self._warm_up.join()
        self.service.close()

    # ---- what can be read

    @property
    def config(self) -> RunConfig:
        """What the controls say now, as the pipeline takes it."""
        return self.settings.config

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything the run has said so far."""
        return tuple(self._events)

    @property
    def result(self) -> RunResult:
        """The run so far as data frames."""
        return result_of(self.state)

    def picture(self) -> StillPicture:
        """Return the run as a still picture, the same for the same run."""
        return StillPicture(self.state)

    def __repr__(self) -> str:
        config = self.config
        retrain = {"auto": True, "never": False}.get(config.retrain, config.retrain)
        policy = f", policy={self._policy!r}" if self._policy is not None else ""
        return (
            f"PipelineSimulator(scenario={config.scenario!r}, weeks={config.weeks}, "
            f"seed={config.seed}, threshold={config.threshold:g}, "
            f"retrain={retrain!r}{policy})"
        )

    def _ipython_display_(self) -> None:
        """Show the live widget, and what stands in its place where no kernel runs."""
        self._kept.show(repr(self), self.picture(), self.view)

    def _recorded(self) -> tuple[tuple[Event, ...], Settings]:
        """Return the run so far, and the settings that it began with."""
        with self._lock:
            return self.events, replace(self.settings, config=self._shown or self.config)

    # ---- how a run is driven

    def _forget(self, status: str = "idle", shown: RunConfig | None = None) -> None:
        self.state = RunState(status)
        self.error = None
        self._shown = shown
        self._at = None
        self._events = []

    def _obey(self, message: Mapping[str, Any]) -> None:
        """Do what the page asks: change a setting, or press a button."""
        match message:
            case {"set": name, "value": value}:
                self.change(**{name: value})
            case {"order": "play" | "step" as order}:
                self._order(order)
            case {"order": "pause"}:
                self.pause()
            case {"order": "reset"}:
                self.reset()
            case {"order": "save"}:
                name = f"{self.config.scenario}.html"
                self.view.send({"name": name, "page": recording.page(*self._recorded())})
            case {"look": moment}:
                self.look_at(moment)

    def _order(self, order: Order) -> Driver | None:
        """Begin or continue in the background; None when a run is already under way."""
        with self._lock:
            if self._driver is None:
                driver = self._begin(order, lambda: PACES[self.settings.pace].seconds)
                driver.start()
            elif self.state.status == "paused":
                driver = self._driver
                self.state = replace(self.state, status="running")
                driver.tell(order)
                self._render()
            else:
                return None
        return driver

    def _begin(self, order: Order, pace: Callable[[], float]) -> Driver:
        with self._lock:
            config = self.config
            self._forget("running", config)
            self._made_before_run = PipelineSimulator._made
            driver = Driver(lambda: self._source(config), self._hear, self._rest, self._end, pace)
            driver.follow(self._former)
            driver.tell(order)
            self._driver = driver
            self._render()
        return driver

    def _source(self, config: RunConfig) -> Iterator[Event]:
        from mlops_course.pipeline.loop import run_pipeline

        policy = self._policy if config.retrain != "never" else None
        return run_pipeline(config, self._workspace, self.service, policy)

    def _hear(self, driver: Driver, event: Event) -> None:
        with self._lock:
            if driver is not self._driver:
                return
            self._events.append(event)
            state = advance(self.state, event)
            self.state = replace(state, status="running") if state.status == "paused" else state
            self._render_soon()

    def _rest(self, driver: Driver) -> None:
        with self._lock:
            if driver is self._driver:
                self.state = replace(self.state, status="paused")
                self._render()

    def _end(self, driver: Driver, trouble: BaseException | None) -> None:
        with self._lock:
            if driver is not self._driver:
                return
            self._driver = None
            self._former = driver
            self.error = trouble
            if trouble is not None:
                self.state = replace(self.state, status="failed", error=why_it_stopped(trouble))
            self._render()
        self._kept.keep(repr(self), *self._recorded(), self.view)
        another_was_made = PipelineSimulator._made != self._made_before_run
        if another_was_made:
            self.service.close()

    # ---- how it is shown

    def _render_soon(self) -> None:
        """Render now, or once the time between two renderings has passed."""
        wait = self._next_render - time.monotonic()
        if wait <= 0:
            self._render()
        elif self._timer is None:
            self._timer = threading.Timer(wait, self._render)
            self._timer.daemon = True
            self._timer.start()

    def _render(self) -> None:
        with self._lock:
            self._timer = None
            self._next_render = time.monotonic() + REFRESH_SECONDS
            marks = recording.moments(self._events)
            told = {"moments": [mark.name for mark in marks], "settings": shown(self.settings)}
            if self._at is None:
                self.view.show(self.state, self._stale(), at=-1, **told)
                return
            past = recording.state_at(self._events, marks[self._at])
            now = recording.looking_back(marks[self._at]) | {"mode": self.state.status}
            self.view.show(past, self._stale(), at=self._at, **now, **told)

    def _stale(self) -> str:
        is_over = self.state.status in ("finished", "failed")
        return why_stale(self._shown, self.config) if is_over and self._shown else ""


_ALL: "weakref.WeakSet[PipelineSimulator]" = weakref.WeakSet()
