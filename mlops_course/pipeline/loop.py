"""The loop: data, validation, training, gate, registry, deployment, monitored weeks, and back.

The only room that knows the order of stages; what comes back from production is `cycles`'.
`run_pipeline` is a generator of typed events (see `events`); each step does real work, so a caller
may stop, step or watch.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mlops_course.alerting import notifier
from mlops_course.alerting.rules import Watch
from mlops_course.core.errors import CourseError, DataError, ParameterError, ServiceError
from mlops_course.core.texts import short
from mlops_course.core.verdicts import Verdict
from mlops_course.core.workspace import Workspace, open_workspace, own_run_log, was_deleted
from mlops_course.data.features import vocabulary_of
from mlops_course.data.flights import FIRST_HELD_OUT
from mlops_course.deciding.decisions import Policy
from mlops_course.monitoring import labels
from mlops_course.pipeline import stages
from mlops_course.pipeline.cycles import FIRST_CYCLE, Cycles, Steps
from mlops_course.pipeline.events import (
    ASK,
    AlertRaised,
    Event,
    Notified,
    Promoted,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.policies import POLICIES
from mlops_course.pipeline.production import (
    Production,
    ScoredWeek,
    followed_by,
    metrics_of,
    score_week,
    summary,
)
from mlops_course.pipeline.scenarios import RunConfig, scenario_of
from mlops_course.serving.service import Service
from mlops_course.training import tracking

MIN_WINTER_ROWS = 50_000


def run_pipeline(
    config: RunConfig | None = None,
    workspace: Workspace | str | Path | None = None,
    service: Service | None = None,
    policy: Policy | None = None,
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
    policy
        What decides when to retrain, and on what, instead of the one that ``config.retrain`` names.
        With ``retrain='ask'`` there must be one, such as ``choices.Choices('look', 'repair')``.

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
    if config.retrain == ASK and policy is None:
        raise ParameterError(
            "The run is to ask at each alert, and nobody is there to answer.",
            "Without a page it is told beforehand what to choose.",
            "Write run_pipeline(config, policy=Choices('look', 'repair')).",
        )
    if not isinstance(workspace, Workspace):
        workspace = open_workspace(workspace)
    store = tracking.connect(workspace)
    decides = policy if policy is not None else POLICIES[config.retrain]
    name = short(repr(policy)) if policy is not None else ""
    with own_run_log(workspace) as log, ExitStack() as ending:
        if service is None:
            service = ending.enter_context(closing(Service()))
        cycles = Cycles(config, store, service, decides)
        yield from _Run(config, store, log, cycles, name).events()


@dataclass
class _Run:
    """One run, from the first stage to the last week.

    Attributes
    ----------
    log
        The file of the run's own prediction log.
    cycles
        What is trained, judged and released, now and later.
    firing
        The alert rules that fired on the latest week.
    by_hand
        The versions that a colleague promoted past the gate.
    seconds
        How long the run has worked; while it waits for whoever reads its events, it does not.
    """

    config: RunConfig
    store: tracking.Store
    log: Path
    cycles: Cycles
    policy: str = ""
    firing: frozenset[str] = frozenset()
    by_hand: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def events(self) -> Iterator[Event]:
        """Yield the whole run, and close its MLflow run however it ends."""
        cycles = self.cycles
        scenario = scenario_of(self.config)
        params = {**asdict(self.config), "weeks": self.config.planned_weeks}
        decides = {"policy": self.policy} if self.policy else {}
        try:
            cycles.run_id = tracking.start_run(
                self.store, scenario.name, cycles.origin, {**params, **decides}
            )
        except (OSError, *tracking.STORE_ERRORS) as error:
            raise tracking.explain(error) from error
        warm_up = threading.Thread(target=self._warm_up)
        warm_up.start()
        status = "KILLED"
        try:
            yield RunStarted(
                **params, title=scenario.title, run_id=cycles.run_id, policy=self.policy
            )
            try:
                yield from self._timed(self._first_model())
                yield from self._timed(self._production())
                status = "FINISHED"
                yield RunFinished(self.seconds)
            except (CourseError, OSError, *tracking.STORE_ERRORS) as error:
                status = "FAILED"
                seconds = time.perf_counter() - cycles.stage_started
                message = str(self._explained(error))
                cycle = FIRST_CYCLE if cycles.stage == "monitor" else cycles.cycle
                yield StageFailed(cycles.stage, cycle, seconds, message)
        finally:
            warm_up.join()
            with suppress(*tracking.STORE_ERRORS):
                tracking.end_run(self.store, cycles.run_id, status)

    def _explained(self, error: Exception) -> CourseError:
        place = self.store.workspace
        return tracking.explain(error) if place.root.exists() else was_deleted(place)

    def _timed(self, steps: Steps[None]) -> Steps[None]:
        with closing(steps):
            while True:
                begun = time.perf_counter()
                event = next(steps, None)
                self.seconds += time.perf_counter() - begun
                if event is None:
                    return
                yield event

    def _warm_up(self) -> None:
        with suppress(ServiceError):
            self.cycles.service.start()

    def _first_model(self) -> Steps[None]:
        cycles = self.cycles
        place = self.store.workspace
        loaded = yield from cycles.run_stage("data", lambda: stages.load(place, self.config))
        cycles.loaded = loaded
        rows = loaded.rows
        held_out = loaded.held_out
        verdict = yield from cycles.run_stage(
            "validate", lambda: stages.validate(rows, MIN_WINTER_ROWS)
        )
        _require(verdict, "Training data that fails its checks is not used.")
        candidate = yield from cycles.run_stage("train", lambda: cycles.fit(rows, held_out))
        verdict = yield from cycles.run_stage(
            "gate", lambda: stages.judge(self.store, candidate, held_out)
        )
        _require(verdict, "A model must beat the one-line rule before it may serve.")
        yield from cycles.release(candidate, verdict, held_out, FIRST_HELD_OUT.isoformat())

    def _production(self) -> Steps[None]:
        """Score week after week, and close the loop where the policy says so."""
        cycles = self.cycles
        assert cycles.loaded is not None
        cycles.stage = "monitor"
        cycles.stage_started = time.perf_counter()
        yield StageStarted("monitor", FIRST_CYCLE)
        spent = 0.0
        scored = []
        production = self._open_production(cycles.loaded)
        for number in range(1, self.config.planned_weeks + 1):
            for release in cycles.loaded.stream.releases(number):
                yield from self._release_by_hand(release)
            week = cycles.loaded.stream.week(number)  # a repair may have changed what it delivers
            week = replace(week, struck=week.struck or cycles.version in self.by_hand)
            cycles.stage = "monitor"
            cycles.stage_started = time.perf_counter()
            former = cycles.former.result.model if cycles.former else None
            champion = cycles.champion.result.model if cycles.champion else None
            calibration = cycles.calibrations[cycles.version]
            result = score_week(week, production, former, calibration, champion)
            production = followed_by(production, result)
            scored.append(result.event)
            metrics = metrics_of(result.event)
            tracking.log_metrics(self.store, cycles.run_id, metrics, week.number)
            spent += time.perf_counter() - cycles.stage_started
            yield result.event
            yield from self._tell(result)
            yield from cycles.react(week, result, self.firing)
        alerted = sum(event.alert for event in scored)
        headline = f"{_counted(alerted, 'alert')} in {_counted(len(scored), 'week')}"
        blind = sum(not event.watched for event in scored)
        headline += f", {blind} without rules" if blind else ""
        yield StageFinished("monitor", FIRST_CYCLE, spent, headline, summary(scored))

    def _release_by_hand(self, release: str) -> Steps[None]:
        """Let a colleague make a model champion past the gate, before a week's flights are sent.

        Like any promotion it is dated with the week before.
        """
        cycles = self.cycles
        loaded = cycles.loaded
        former = cycles.champion
        assert loaded is not None and former is not None
        candidate, entry = yield from cycles.run_stage(
            "register",
            lambda: stages.released_by_hand(
                self.store,
                cycles.origin,
                release,
                former,
                loaded.rows,
                seed=self.config.seed,
                parent=cycles.run_id,
            ),
        )
        self.by_hand.add(entry.after)
        day = cycles.weeks[-1].monday if cycles.weeks else FIRST_HELD_OUT
        promoted = Promoted(
            day.isoformat(), entry.before, entry.after, entry.reason, candidate.run_id, by_hand=True
        )
        yield from cycles.put_to_work(candidate, promoted, loaded.held_out)

    def _open_production(self, loaded: stages.Loaded) -> Production:
        """Begin the run's prediction log and its label store, and set the alert rules to work."""
        self.cycles.service.begin_log(self.log)
        labels.begin(labels.beside(self.log))
        watch = Watch(self.config.rules)
        vocabulary = vocabulary_of(loaded.rows)
        return Production(self.cycles.service, self.log, loaded.reference, watch, vocabulary)

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


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _require(verdict: Verdict, expected: str) -> None:
    if not verdict.passed:
        raise DataError(
            f"The {verdict.subject} check failed: {' '.join(verdict.failures)}",
            expected,
            "Repair the cause, and run again.",
        )
