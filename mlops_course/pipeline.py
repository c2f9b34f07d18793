"""The loop: data, validation, training, gate, registry, deployment, monitored weeks, and back.

The only room that knows the order of stages. `run_pipeline` is a generator of typed events
(see `events`); each step does real work, so a caller may stop, step or watch.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from mlops_course import drift, promotions, registry, tracking
from mlops_course.errors import CourseError, DataError, ParameterError, ServiceError
from mlops_course.events import (
    STAGES,
    Event,
    Promoted,
    Rejected,
    Retrained,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.flights import (
    FIRST_DAY,
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    Week,
    draw,
    fingerprint,
    labelled,
    load_flights,
    weeks,
)
from mlops_course.monitoring import AccuracyRule, alert_on, measure, notice
from mlops_course.scenarios import SCENARIOS, RunConfig
from mlops_course.serving import Service
from mlops_course.training import TrainingConfig, TrainingResult, baseline, evaluate, train
from mlops_course.validation import Verdict, gate, validate_flights
from mlops_course.workspace import Workspace, open_workspace

RETRAIN_WEEKS = 2
LEAST_TRAINING_ROWS, LEAST_WEEK_ROWS = 50_000, 4_000
SMOKE_ROWS, SMOKE_TOLERANCE = 200, 1e-9

T = TypeVar("T")
Figures = dict[str, float | int | str]
Steps = Generator[Event, None, T]


def run_pipeline(
    config: RunConfig | None = None,
    workspace: Workspace | str | Path | None = None,
    service: Service | None = None,
) -> Generator[Event, None, None]:
    """Run the loop and yield what happens, event by event.

    Parameters
    ----------
    config
        What to run; by default eight weeks of good data.
    workspace
        Where results go, or its folder; by default `open_workspace()`.
    service
        A scoring service to use and keep; without one, the run starts its own and stops it.

    Raises
    ------
    CourseError
        Before the first event, if the store cannot be used. Later trouble is the event
        `StageFailed`, which is then the last one.
    """
    config = config if config is not None else RunConfig()
    if not isinstance(config, RunConfig):
        raise ParameterError(
            f"The configuration is {config!r}.",
            "run_pipeline takes a RunConfig.",
            "Write run_pipeline(RunConfig(scenario='good')).",
        )
    if not isinstance(workspace, Workspace):
        workspace = open_workspace(workspace)
    store = tracking.connect(workspace)
    if service is not None:
        yield from _Run(config, store, service).events()
        return
    with closing(Service()) as own:
        yield from _Run(config, store, own).events()


@dataclass(frozen=True)
class _Model:
    """A trained model and the MLflow run and URI under which it is kept."""

    result: TrainingResult
    run_id: str
    uri: str


@dataclass
class _Run:
    """One run's state, from the first stage to the last week."""

    config: RunConfig
    store: tracking.Store
    service: Service
    cycle: int = 1
    stage: str = STAGES[0]
    stage_started: float = 0.0
    version: str = ""
    episode: list[Week] = field(default_factory=list)
    challenger: _Model | None = None
    champion: _Model | None = None
    former: _Model | None = None

    def events(self) -> Iterator[Event]:
        """Yield the whole run, and close its MLflow run however it ends."""
        begun = time.perf_counter()
        self.scenario = SCENARIOS[self.config.scenario]
        self.origin = tracking.provenance()
        params = {**asdict(self.config), "weeks": self.config.planned_weeks}
        try:
            self.run_id = tracking.start_run(self.store, self.scenario.name, self.origin, params)
        except (OSError, *tracking.STORE_ERRORS) as error:
            raise tracking.explain(error) from error
        warm_up = threading.Thread(target=self._warm_up)
        warm_up.start()
        status = "KILLED"
        try:
            yield RunStarted(**params, title=self.scenario.title, run_id=self.run_id)
            try:
                yield from self._first_model()
                yield from self._production()
                status = "FINISHED"
                yield RunFinished(time.perf_counter() - begun)
            except (CourseError, OSError, *tracking.STORE_ERRORS) as error:
                status = "FAILED"
                seconds = time.perf_counter() - self.stage_started
                message = str(tracking.explain(error))
                yield StageFailed(self.stage, self.cycle, seconds, message)
        finally:
            warm_up.join()
            with suppress(*tracking.STORE_ERRORS):
                tracking.end_run(self.store, self.run_id, status)

    def _warm_up(self) -> None:
        with suppress(ServiceError):
            self.service.start()

    def _stage(self, stage: str, work: Callable[[], tuple[T, str, Figures]]) -> Steps[T]:
        """Yield a stage's start and end around ``work``, and return what it made."""
        self.stage, self.stage_started = stage, time.perf_counter()
        yield StageStarted(stage, self.cycle)
        self.stage_started = time.perf_counter()
        made, headline, figures = work()
        seconds = time.perf_counter() - self.stage_started
        yield StageFinished(stage, self.cycle, seconds, headline, figures)
        return made

    def _first_model(self) -> Steps[None]:
        rows, held_out = yield from self._stage("data", self._load)
        verdict = yield from self._stage(
            "validate", lambda: self._validate(rows, LEAST_TRAINING_ROWS)
        )
        _require(verdict, "Training data that fails its checks is not used.")
        model = yield from self._stage("train", lambda: self._train(rows, held_out))
        rule = baseline(held_out)
        verdict = yield from self._stage(
            "gate", lambda: self._judge(model, held_out, rule, "the rule dep_delay > 15")
        )
        _require(verdict, "A model must beat the one-line rule before it may serve.")
        yield from self._release(model, verdict, held_out, FIRST_HELD_OUT.isoformat())

    def _load(self) -> tuple[tuple[pd.DataFrame, pd.DataFrame], str, Figures]:
        workspace = self.store.workspace
        flights = load_flights(workspace, FIRST_DAY, LAST_HELD_OUT)
        past = flights["date"] < pd.Timestamp(FIRST_HELD_OUT)
        last = self.scenario.first + timedelta(days=7 * self.config.planned_weeks - 1)
        stream = load_flights(workspace, self.scenario.first, last)
        self.stream = weeks(stream, self.scenario.first, self.config.planned_weeks)
        rows, held_out = draw(flights[past], self.config.seed), labelled(flights[~past])
        self.reference = drift.fit_reference(rows)
        figures: Figures = {
            "training flights": len(rows),
            "held-out flights": len(held_out),
            "production flights": len(stream),
            "late in training": f"{rows['late'].mean():.1%}",
            "dataset version": fingerprint(rows),
        }
        return (rows, held_out), f"{len(rows):,} flights", figures

    def _validate(self, rows: pd.DataFrame, least: int) -> tuple[Verdict, str, Figures]:
        verdict = validate_flights(rows, least_rows=least)
        figures: Figures = {check.name: check.seen for check in verdict.checks}
        failed = len(verdict.failures)
        return verdict, f"{failed} failed" if failed else "all checks passed", figures

    def _train(self, rows: pd.DataFrame, held_out: pd.DataFrame) -> tuple[_Model, str, Figures]:
        result = train(rows, TrainingConfig(random_state=self.config.seed))
        metrics = {}
        if len(held_out):
            metrics = evaluate(held_out["late"].to_numpy(), result.model.probability(held_out))
        run_id, uri = tracking.log_training(
            self.store,
            self.origin,
            result,
            rows,
            metrics,
            name=f"{self.scenario.name} training {self.cycle}",
            seed=self.config.seed,
            parent=self.run_id,
        )
        headline = f"accuracy {metrics['accuracy']:.3f}" if metrics else f"{result.rows:,} flights"
        figures: Figures = {"rows": result.rows, "fit seconds": round(result.seconds, 2)}
        return (
            _Model(result, run_id, uri),
            headline,
            {
                **figures,
                **{name: round(value, 4) for name, value in metrics.items()},
                "model digest": result.digest,
                "MLflow run": run_id,
            },
        )

    def _judge(
        self, model: _Model, flights: pd.DataFrame, yardstick: np.ndarray, against: str
    ) -> tuple[Verdict, str, Figures]:
        called = model.result.model.probability(flights) >= 0.5
        verdict = gate(flights, called, yardstick, against)
        figures: Figures = {check.name: check.seen for check in verdict.checks}
        promotions.log_verdict(self.store, model.run_id, verdict)
        return verdict, "passed" if verdict.passed else "refused", figures

    def _release(
        self, model: _Model, verdict: Verdict, probe: pd.DataFrame, week: str
    ) -> Steps[None]:
        registered = yield from self._stage("register", lambda: self._register(model))
        yield from self._stage("deploy", lambda: self._deploy(model, registered, probe))
        reason = next(check.seen for check in verdict.checks if check.name == "better overall")
        evidence = model.run_id
        entry = promotions.promote(self.store, registered.version, reason, evidence=evidence)
        self.version = registered.version
        self.former, self.champion = self.champion, model
        yield Promoted(week, entry.before, registered.version, reason, model.run_id)

    def _register(self, model: _Model) -> tuple[registry.Registered, str, Figures]:
        registered = registry.register(self.store, model.run_id, model.uri)
        figures: Figures = {"model": registry.MODEL_NAME, "version": registered.version}
        return registered, f"version {registered.version}", {**figures, "run": model.run_id}

    def _deploy(
        self, model: _Model, registered: registry.Registered, probe: pd.DataFrame
    ) -> tuple[None, str, Figures]:
        """Load the version into the service, and see that it answers as training would."""
        self.service.load(registered.path, registered.version)
        sample = probe.iloc[:SMOKE_ROWS]
        answer = self.service.score(sample)
        gap = np.abs(answer.probability - model.result.model.probability(sample)).max()
        if answer.errors or not gap <= SMOKE_TOLERANCE:
            raise ServiceError(
                f"The deployed version {registered.version} answers unlike the trained model.",
                f"Probabilities may differ by {SMOKE_TOLERANCE}; they differ by {gap:.2g}.",
                "Compare the features that training and serving compute.",
            )
        figures: Figures = {
            "url": self.service.url,
            "version": answer.version,
            "smoke rows": len(sample),
        }
        return None, f"version {answer.version} live", {**figures, "largest gap": float(gap)}

    def _production(self) -> Steps[None]:
        """Score week after week, and close the loop where an alert persists."""
        self.stage, self.stage_started = "monitor", time.perf_counter()
        yield StageStarted("monitor", self.cycle)
        spent, scored = 0.0, []
        for week in self.stream:
            self.stage, self.stage_started = "monitor", time.perf_counter()
            drawn = draw(week.flights, self.config.seed, stream=week.number).sort_index()
            struck = self.scenario.strikes(week.number)
            rows = self.scenario.incident.apply(drawn) if struck else drawn
            week = Week(week.number, week.monday, rows)
            event, called = self._score(week, struck)
            scored.append(event)
            spent += time.perf_counter() - self.stage_started
            yield event
            yield from self._react(week, event, called)
        alerts = sum(event.alert for event in scored)
        mean = float(np.mean([event.accuracy for event in scored]))
        figures: Figures = {"weeks": len(scored), "weeks with alert": alerts}
        figures["mean accuracy"] = f"{mean:.3f}"
        headline = f"{_counted(alerts, 'alert')} in {_counted(len(scored), 'week')}"
        yield StageFinished("monitor", 1, spent, headline, figures)

    def _score(self, week: Week, struck: bool) -> tuple[WeekScored, np.ndarray]:
        """Send a week through the service, join the labels, and record what was seen."""
        scores = self.service.score(week.flights)
        quality = measure(week.flights, scores.probability)
        moved = drift.drift_scores(self.reference, week.flights)
        checks = validate_flights(week.flights, least_rows=LEAST_WEEK_ROWS)
        event = WeekScored(
            week=week.monday.isoformat(),
            number=week.number,
            **asdict(quality),
            model_version=scores.version,
            latency_ms=float(np.median(scores.latency_ms)),
            errors=scores.errors,
            drift=moved,
            drifted=drift.drifted(moved),
            findings=checks.failures,
            incident=struck,
            alert=AccuracyRule(self.config.threshold).fires(quality),
            former_accuracy=self._former_accuracy(week.flights),
        )
        metrics = {f"drift.{name}": score for name, score in moved.items()}
        metrics |= {**asdict(quality), "alert": event.alert}
        tracking.log_metrics(self.store, self.run_id, metrics, week.number)
        return event, scores.probability >= 0.5

    def _former_accuracy(self, flights: pd.DataFrame) -> float | None:
        if self.former is None:
            return None
        return measure(flights, self.former.result.model.probability(flights)).accuracy

    def _react(self, week: Week, event: WeekScored, called: np.ndarray) -> Steps[None]:
        if event.alert:
            self.episode.append(week)
            alert = alert_on(event, self.config.threshold)
            yield alert
            if len(self.episode) == 1:
                yield notice(alert, event)
        if self.challenger is not None:
            yield from self._decide(week, event, called)
        elif not event.alert:
            self.episode.clear()
        elif self.config.retrain == "auto" and len(self.episode) == RETRAIN_WEEKS:
            yield from self._retrain(event.week)

    def _retrain(self, week: str) -> Steps[None]:
        """Train a candidate on the episode's weeks alone; it waits for later rows."""
        self.cycle += 1
        rows, used = yield from self._stage("data", self._gather)
        verdict = yield from self._stage(
            "validate", lambda: self._validate(rows, RETRAIN_WEEKS * LEAST_WEEK_ROWS)
        )
        if not verdict.passed:
            self.episode.clear()
            yield Rejected(week, f"Not retrained: {verdict.failures[0]}")
            return
        model = yield from self._stage("train", lambda: self._train(rows, rows.iloc[:0]))
        self.challenger = model
        result = model.result
        yield Retrained(week, used, result.rows, model.run_id, result.seconds)

    def _gather(self) -> tuple[tuple[pd.DataFrame, tuple[str, ...]], str, Figures]:
        rows = pd.concat([week.flights for week in self.episode], ignore_index=True)
        used = tuple(week.monday.isoformat() for week in self.episode)
        figures: Figures = {"training flights": len(rows), "weeks": ", ".join(used)}
        figures["dataset version"] = fingerprint(rows)
        return (rows, used), f"{len(rows):,} flights", figures

    def _decide(self, week: Week, event: WeekScored, called: np.ndarray) -> Steps[None]:
        """Let the gate compare candidate and champion on the first week new to both."""
        model, self.challenger, self.episode = self.challenger, None, []
        assert model is not None
        if not event.alert:
            yield Rejected(event.week, "The alert ended by itself before the candidate was judged.")
            return
        known = week.flights["late"].notna().to_numpy()
        flights, champion = week.flights[known], called[known]
        verdict = yield from self._stage(
            "gate", lambda: self._judge(model, flights, champion, f"version {self.version}")
        )
        if verdict.passed:
            yield from self._release(model, verdict, flights, event.week)
        else:
            yield Rejected(event.week, verdict.failures[0])


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _require(verdict: Verdict, expected: str) -> None:
    if not verdict.passed:
        raise DataError(
            f"The {verdict.subject} check failed: {' '.join(verdict.failures)}",
            expected,
            "Read the stage's figures, repair the cause, and run again.",
        )
