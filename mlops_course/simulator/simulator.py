"""The pipeline simulator: controls, a picture, and a real run behind them.

The picture shows the events of `pipeline.run_pipeline` alone; what a button does, a method does.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.workspace import Workspace
from mlops_course.deciding.choices import Person, nobody_answers
from mlops_course.deciding.decisions import Policy
from mlops_course.pipeline import mystery
from mlops_course.pipeline.asking import OtherPlayed, Revealed
from mlops_course.pipeline.events import ASK, Event
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunResult, RunState, result_of
from mlops_course.serving.service import Service
from mlops_course.simulator import recording
from mlops_course.simulator.kept import Kept
from mlops_course.simulator.runner import Driver, Order, warm_up
from mlops_course.simulator.screen import Content, Screen
from mlops_course.simulator.session import Session
from mlops_course.simulator.settings import PACES, Settings, changed, retrain_word
from mlops_course.simulator.widget import Picture, StillPicture
from mlops_course.telling import setting_string


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
        ``never``; ``ask`` pauses at each alert and lets a person choose (`choose`).
    workspace
        The folder for results; by default that of `workspace.open_workspace`.
    policy
        What decides when to retrain, and on what, where ``retrain`` lets it; None for the usual.
        With ``ask`` it answers in the person's place, such as ``choices.Choices("repair")``.
    pace
        How fast weeks pass on the screen, a key of `settings.PACES`: ``watch`` (one a second),
        ``quick`` (four) or ``instant``. `run` takes no notice of it.

    Attributes
    ----------
    state, error
        What is known of the run, and the exception that stopped it, if one did.
    kept
        The state of a run that is shown beside this one; None where runs are shown alone.
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

    kept: RunState | None
    service: Service
    settings: Settings
    view: Picture
    _made: ClassVar[int] = 0

    _made_before_run: int

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
        self.kept = None
        self.view = Picture(linked=workspace is None)
        lock = threading.RLock()
        self._screen = Screen(self.view, self._content, lock)
        self._session = Session(lock, self._screen.show, self._ended)
        self._workspace = workspace
        self._policy = policy
        self._kept = Kept()
        self.view.obey(self._obey)
        self._screen.draw()
        idle = [other.service for other in _ALL if other._session.driver is None]
        _ALL.add(self)
        PipelineSimulator._made += 1
        weakref.finalize(self, self.service.close)
        self._warm_up = warm_up(self.service, idle)

    @classmethod
    def from_settings(cls, line: str, **more: Any) -> "PipelineSimulator":
        """Return a simulator set as a run's line says, such as ``drift weeks=8 seed=0``."""
        return cls(**setting_string.arguments(line), **more)

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
        if self._needs_a_person(self.config):
            raise nobody_answers()
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
        self._session.pause()

    def choose(self, choice: str) -> None:
        """Answer the question at which the run waits: a button of the question.

        Parameters
        ----------
        choice
            A key of `choices.CHOICES`: ``look``, ``repair``, ``roll-back``, ``retrain`` or
            ``dismiss``.

        Raises
        ------
        ParameterError
            If there is no such choice, or no question is open.
        """
        self._session.answer(choice)

    def diagnose(self, named: str = "") -> Revealed:
        """Say what a mystery is, by the incident's name, and be told; raises `mystery.reveal`'s.

        After the run it may be left empty.
        """
        return self._session.diagnose(self.config, named)

    def others(self) -> tuple[OtherPlayed, ...]:
        """Play the choices that were not taken, which takes some seconds, and return all played.

        Raises
        ------
        CourseError
            If no run has ended in which something was chosen, or one of these stops.
        """
        if (replay := self._session.play_others(self._workspace)) is not None:
            replay.work()
        return self.state.others

    def change(self, **values: object) -> None:
        """Change settings, named as when the simulator is made; during a run, the pace alone.

        Raises
        ------
        ParameterError
            If a value is none that the setting may have, or a run is under way; nothing changes.
        """
        with self._session.lock:
            driver = self._session.driver
            if driver is not None and set(values) - {"pace"}:
                raise ParameterError(
                    "A run is under way.",
                    "Its settings stay as they are until it ends.",
                    "Wait for its end, or press Reset.",
                )
            new = self.settings
            for name in sorted(values, key=lambda name: name != "scenario"):
                new = changed(new, name, values[name])
            self.settings = new
            if driver is not None:
                driver.hurry()
            self._screen.draw()

    def reset(self) -> None:
        """Forget the run; one under way ends after what it is doing."""
        with self._session.lock:
            self._session.reset()
            self._screen.at = None
            self._screen.draw()

    def look_at(self, moment: int | None) -> None:
        """Show a moment of the run again, from 0; None returns to the latest.

        A run under way goes on meanwhile. ``view.moments`` names them.

        Raises
        ------
        ParameterError
            If there is no such moment yet.
        """
        with self._session.lock:
            if moment is not None:
                recording.check_moment(moment, self._session.events)
            self._screen.at = moment
            self._screen.draw()

    def keep(self) -> None:
        """Keep the run as it is now, to be shown beside the next ones.

        Raises
        ------
        ParameterError
            If no stage has ended yet.
        """
        with self._session.lock:
            recording.check_moment(0, self.events)
            self.kept = self.state
            self._screen.draw()

    def forget(self) -> None:
        """Show runs alone again."""
        with self._session.lock:
            self.kept = None
            self._screen.draw()

    def save(self, path: str | Path) -> Path:
        """Save the run as one HTML page that needs neither kernel nor network.

        Raises what `recording.save` raises.
        """
        events, settings, kept = self._recorded()
        return recording.save(events, settings, Path(path), kept)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a run in the background has paused or ended; False if time ran out."""
        driver = self._session.driver
        return driver is None or driver.wait(timeout, for_rest=True)

    def close(self) -> None:
        """Stop the run and the scoring service; a later run starts the service anew."""
        self._session.close()
        self._warm_up.join()
        self.service.close()

    # ---- what can be read

    @property
    def state(self) -> RunState:
        """What is known of the run."""
        return self._session.state

    @property
    def error(self) -> BaseException | None:
        """The exception that stopped the run, if one did."""
        return self._session.error

    @property
    def config(self) -> RunConfig:
        """What the controls say now, as the pipeline takes it."""
        return self.settings.config

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything the run has said so far."""
        return mystery.hiding(self._session.events, self.state)

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

    def _recorded(self) -> tuple[tuple[Event, ...], Settings, RunState | None]:
        """Return the run so far, the settings that it began with, and the run beside it."""
        with self._session.lock:
            began_with = replace(self.settings, config=self._session.began or self.config)
            return self.events, began_with, self.kept

    # ---- how a run is driven

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
            case {"order": "keep"}:
                self.keep()
            case {"order": "forget"}:
                self.forget()
            case {"order": "save"}:
                name = f"{self.config.scenario}.html"
                self.view.send({"name": name, "page": recording.page(*self._recorded())})
            case {"look": moment}:
                self.look_at(moment)
            case {"choose": choice}:
                self.choose(choice)
            case {"diagnose": named}:
                self.diagnose(named)
            case {"order": "others"}:
                if (replay := self._session.play_others(self._workspace)) is not None:
                    replay.start()

    def _order(self, order: Order) -> Driver | None:
        """Begin or continue in the background; None when a run is already under way."""
        with self._session.lock:
            if self._session.driver is not None:
                return self._session.go_on(order)
            driver = self._begin(order, lambda: PACES[self.settings.pace].seconds)
            driver.start()
        return driver

    def _begin(self, order: Order, pace: Callable[[], float]) -> Driver:
        config = self.config
        self._made_before_run = PipelineSimulator._made
        self._screen.at = None
        asks = self._needs_a_person(config)
        return self._session.begin(order, config, partial(self._source, config), pace, asks)

    def _source(self, config: RunConfig, person: Person) -> Iterator[Event]:
        from mlops_course.pipeline.loop import run_pipeline

        policy = self._policy if config.retrain != "never" else None
        if self._needs_a_person(config):
            policy = person
        return run_pipeline(config, self._workspace, self.service, policy)

    def _needs_a_person(self, config: RunConfig) -> bool:
        return config.retrain == ASK and not hasattr(self._policy, "asks")

    def _ended(self) -> None:
        self._kept.keep(repr(self), self.view, *self._recorded())
        if PipelineSimulator._made != self._made_before_run:
            self.service.close()

    # ---- how it is shown

    def _content(self) -> Content:
        session = self._session
        stale = session.why_stale(self.config)
        return Content(
            session.state, session.events, self.settings, stale, session.progress, self.kept
        )


_ALL: "weakref.WeakSet[PipelineSimulator]" = weakref.WeakSet()
