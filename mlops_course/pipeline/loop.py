"""The loop: data, validation, training, gate, registry, deployment, monitored weeks, and back.

The only room that knows the order of stages. `run_pipeline` is a generator of typed events
(see `events`); each step does real work, so a caller may stop, step or watch.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from mlops_course.alerting import notifier
from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.alerting.rules import Watch
from mlops_course.core.errors import CourseError, DataError, ParameterError, Refusal, ServiceError
from mlops_course.core.verdicts import Verdict
from mlops_course.core.workspace import Workspace, open_workspace, own_run_log
from mlops_course.data.features import vocabulary_of
from mlops_course.data.flights import FIRST_HELD_OUT, labelled
from mlops_course.data.stream import Week
from mlops_course.monitoring import labels
from mlops_course.pipeline import stages
from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Event,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.policies import POLICIES, Observation, Retrain
from mlops_course.pipeline.production import (
    MIN_WEEK_ROWS,
    Production,
    ScoredWeek,
    followed_by,
    looked_at,
    metrics_of,
    score_week,
    summary,
)
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig
from mlops_course.release.comparison import MIN_COMPARED_ROWS
from mlops_course.serving.service import Service
from mlops_course.training import tracking

MIN_WINTER_ROWS = 50_000
FIRST_CYCLE = 1  # production is watched as one stage, whatever is retrained meanwhile

T = TypeVar("T")
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
    with own_run_log(workspace) as log:
        if service is not None:
            yield from _Run(config, store, service, log).events()
            return
        with closing(Service()) as own:
            yield from _Run(config, store, own, log).events()


@dataclass
class _Run:
    """One run's state, from the first stage to the last week.

    Attributes
    ----------
    log
        The file of the run's own prediction log.
    stage, stage_started
        The stage that is under way, and since when.
    champion, former, challenger
        The candidate that serves, the one it replaced, and one that waits to be judged.
    history
        What the policy may know of the weeks so far.
    firing
        The alert rules that fired on the latest week.
    """

    config: RunConfig
    store: tracking.Store
    service: Service
    log: Path
    run_id: str = ""
    cycle: int = FIRST_CYCLE
    stage: str = STAGES[0]
    stage_started: float = 0.0
    origin: tracking.Provenance = field(default_factory=tracking.provenance)
    loaded: stages.Loaded | None = None
    champion: stages.Candidate | None = None
    former: stages.Candidate | None = None
    challenger: stages.Candidate | None = None
    history: list[Observation] = field(default_factory=list)
    firing: frozenset[str] = frozenset()

    def events(self) -> Iterator[Event]:
        """Yield the whole run, and close its MLflow run however it ends."""
        begun = time.perf_counter()
        scenario = SCENARIOS[self.config.scenario]
        params = {**asdict(self.config), "weeks": self.config.planned_weeks}
        try:
            self.run_id = tracking.start_run(self.store, scenario.name, self.origin, params)
        except (OSError, *tracking.STORE_ERRORS) as error:
            raise tracking.explain(error) from error
        warm_up = threading.Thread(target=self._warm_up)
        warm_up.start()
        status = "KILLED"
        try:
            yield RunStarted(**params, title=scenario.title, run_id=self.run_id)
            try:
                yield from self._first_model()
                yield from self._production()
                status = "FINISHED"
                yield RunFinished(time.perf_counter() - begun)
            except (CourseError, OSError, *tracking.STORE_ERRORS) as error:
                status = "FAILED"
                seconds = time.perf_counter() - self.stage_started
                message = str(tracking.explain(error))
                cycle = FIRST_CYCLE if self.stage == "monitor" else self.cycle
                yield StageFailed(self.stage, cycle, seconds, message)
        finally:
            warm_up.join()
            with suppress(*tracking.STORE_ERRORS):
                tracking.end_run(self.store, self.run_id, status)

    def _warm_up(self) -> None:
        with suppress(ServiceError):
            self.service.start()

    def _stage(self, stage: str, work: Callable[[], stages.Done[T]]) -> Steps[T]:
        """Yield a stage's start and end around ``work``, and return what it made."""
        self.stage = stage
        self.stage_started = time.perf_counter()
        yield StageStarted(stage, self.cycle)
        self.stage_started = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - self.stage_started
        yield StageFinished(stage, self.cycle, seconds, done.headline, done.figures)
        return done.made

    def _first_model(self) -> Steps[None]:
        self.loaded = yield from self._stage("data", lambda: stages.load(self.store, self.config))
        rows = self.loaded.rows
        held_out = self.loaded.held_out
        verdict = yield from self._stage("validate", lambda: stages.validate(rows, MIN_WINTER_ROWS))
        _require(verdict, "Training data that fails its checks is not used.")
        candidate = yield from self._stage("train", lambda: self._fit(rows, held_out))
        verdict = yield from self._stage(
            "gate", lambda: stages.judge(self.store, candidate, held_out)
        )
        _require(verdict, "A model must beat the one-line rule before it may serve.")
        yield from self._release(candidate, verdict, held_out, FIRST_HELD_OUT.isoformat())

    def _fit(
        self, rows: pd.DataFrame, held_out: pd.DataFrame | None = None
    ) -> stages.Done[stages.Candidate]:
        name = f"{self.config.scenario} training {self.cycle}"
        return stages.fit(
            self.store,
            self.origin,
            rows,
            held_out,
            name=name,
            seed=self.config.seed,
            parent=self.run_id,
        )

    def _release(
        self, candidate: stages.Candidate, verdict: Verdict, probe: pd.DataFrame, week: str
    ) -> Steps[None]:
        """Promote a candidate, unless the champion is another than it was judged against.

        The service follows.
        """
        reason = [check.seen for check in verdict.checks if check.name.startswith("better")][-1]
        entry = yield from self._stage(
            "register", lambda: stages.register(self.store, candidate, reason)
        )
        if isinstance(entry, Refusal):
            if self.champion is None:
                raise entry
            yield Rejected(week, entry.happened)
            return
        self.former = self.champion
        self.champion = candidate
        yield Promoted(week, entry.before, entry.after, reason, candidate.run_id)
        yield from self._stage(
            "deploy",
            lambda: stages.deploy(self.store, self.service, candidate, entry.after, probe),
        )

    def _production(self) -> Steps[None]:
        """Score week after week, and close the loop where the policy says so."""
        assert self.loaded is not None
        self.stage = "monitor"
        self.stage_started = time.perf_counter()
        yield StageStarted("monitor", FIRST_CYCLE)
        spent = 0.0
        scored = []
        production = self._open_production(self.loaded)
        for week in self.loaded.stream.weeks(self.config.planned_weeks):
            self.stage = "monitor"
            self.stage_started = time.perf_counter()
            former = self.former.result.model if self.former else None
            result = score_week(week, production, former)
            production = followed_by(production, result)
            scored.append(result.event)
            metrics = metrics_of(result.event)
            tracking.log_metrics(self.store, self.run_id, metrics, week.number)
            spent += time.perf_counter() - self.stage_started
            yield result.event
            yield from self._tell(result)
            yield from self._react(week, result)
        alerted = sum(event.alert for event in scored)
        headline = f"{_counted(alerted, 'alert')} in {_counted(len(scored), 'week')}"
        yield StageFinished("monitor", FIRST_CYCLE, spent, headline, summary(scored))

    def _open_production(self, loaded: stages.Loaded) -> Production:
        """Begin the run's prediction log and its label store, and set the alert rules to work."""
        self.service.begin_log(self.log)
        labels.begin(labels.beside(self.log))
        watch = Watch(self.config.rules)
        vocabulary = vocabulary_of(loaded.rows)
        return Production(self.service, self.log, loaded.reference, watch, vocabulary)

    def _tell(self, result: ScoredWeek) -> Steps[None]:
        """Yield the week's alerts, and a message to the team for each that is new."""
        event = result.event
        for alert in result.alerts:
            yield AlertRaised(
                event.week,
                alert.rule,
                alert.value,
                alert.limit,
                alert.message,
                alert.severity,
                alert.owner,
                alert.runbook,
            )
            if alert.since == alert.window:
                message = notifier.payload(
                    alert, event.model_version, event.drifted, event.findings
                )
                yield Notified(event.week, notifier.CHANNEL, message)
        self.firing = frozenset(alert.rule for alert in result.alerts)

    def _react(self, week: Week, result: ScoredWeek) -> Steps[None]:
        """Judge the candidate that waits, once enough is known, or ask the policy for one."""
        alerted = ACCURACY_RULE in self.firing
        self.history.append(Observation(week.number, alerted))
        if self.challenger is not None:
            if result.event.labelled >= MIN_COMPARED_ROWS:
                yield from self._decide(result)
            return
        decision = POLICIES[self.config.retrain].decide(self.history)
        if isinstance(decision, Retrain):
            yield from self._retrain(week, decision.weeks)

    def _acted(self) -> None:
        self.history[-1] = replace(self.history[-1], acted=True)

    def _retrain(self, week: Week, numbers: Sequence[int]) -> Steps[None]:
        """Train a candidate on some weeks of production; it waits for later rows."""
        assert self.loaded is not None
        self.cycle += 1
        self._acted()
        chosen = [self.loaded.stream.week(number) for number in numbers]
        used = tuple(one.monday.isoformat() for one in chosen)
        known = [one.seen_at(looked_at(week)) for one in chosen]
        rows = yield from self._stage("data", lambda: stages.gather(known, used))
        verdict = yield from self._stage(
            "validate", lambda: stages.validate(rows, len(numbers) * MIN_WEEK_ROWS)
        )
        today = week.monday.isoformat()
        if not verdict.passed:
            yield Rejected(today, f"Not retrained: {verdict.failures[0]}")
            return
        candidate = yield from self._stage("train", lambda: self._fit(rows))
        self.challenger = candidate
        result = candidate.result
        yield Retrained(today, used, result.rows, candidate.run_id, result.seconds)

    def _decide(self, result: ScoredWeek) -> Steps[None]:
        """Let the gate compare candidate and champion on the first week new to both.

        A week without an alert may still be a low one that cannot tell; only one at or above the
        threshold needs no repair.
        """
        event = result.event
        candidate = self.challenger
        self.challenger = None
        assert candidate is not None
        self._acted()
        if event.accuracy >= self.config.threshold:
            yield Rejected(event.week, "The alert ended by itself before the candidate was judged.")
            return
        flights = labelled(result.flights)
        champion = flights["probability"].to_numpy()
        rival = event.model_version
        verdict = yield from self._stage(
            "gate", lambda: stages.judge(self.store, candidate, flights, champion, rival)
        )
        if verdict.passed:
            yield from self._release(candidate, verdict, flights, event.week)
        else:
            yield Rejected(event.week, verdict.failures[0])


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _require(verdict: Verdict, expected: str) -> None:
    if not verdict.passed:
        raise DataError(
            f"The {verdict.subject} check failed: {' '.join(verdict.failures)}",
            expected,
            "Repair the cause, and run again.",
        )
