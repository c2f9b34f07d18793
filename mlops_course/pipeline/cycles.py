"""One cycle of the loop after another: a candidate trained, judged and released, or a way back.

After each week the policy is asked. A candidate that it wants is trained on weeks of the past and
waits for later ones; the gate judges it on the first that is new to it. Whatever goes wrong with a
candidate costs that candidate: the champion stays, and the run goes on.
"""

import time
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeVar

import pandas as pd

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.core.errors import CourseError, Refusal, RegistryError, WorkspaceError
from mlops_course.core.texts import short
from mlops_course.core.verdicts import Verdict
from mlops_course.data.flights import labelled
from mlops_course.data.stream import Strike, Week
from mlops_course.deciding.choices import REPAIR_DAYS
from mlops_course.deciding.decisions import (
    ACCURACY,
    Observation,
    Policy,
    Repair,
    Retrain,
    RollBack,
    ask,
    asks,
    choice,
    needs_versions,
    objection,
)
from mlops_course.pipeline import stages
from mlops_course.pipeline.asking import Answered, Asked, Decided, Repaired, RepairOrdered
from mlops_course.pipeline.events import (
    STAGES,
    Event,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.production import MIN_WEEK_ROWS, ScoredWeek, looked_at
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.release.comparison import MIN_COMPARED_ROWS, surely_better
from mlops_course.serving.service import Service
from mlops_course.stats.calibration import Calibration, fit_calibration
from mlops_course.training import tracking

FIRST_CYCLE = 1
# Then nothing more can be written down, and the run ends.
STORE_TROUBLE = (OSError, WorkspaceError, *tracking.STORE_ERRORS)
ENDED = "The alert ended by itself before the candidate was judged."

T = TypeVar("T")
Steps = Generator[Event, None, T]


@dataclass(frozen=True)
class RepairOrder:
    """What the owner of the feed was asked for: the day of the answer, and what is broken."""

    due: date
    broken: tuple[Strike, ...]


@dataclass(frozen=True)
class Challenger:
    """A candidate that waits to be judged, and what it was trained for."""

    candidate: stages.Candidate
    because: str


@dataclass
class Cycles:
    """The cycles of one run.

    Attributes
    ----------
    run_id, cycle
        The MLflow run, and the number of the cycle under way.
    stage, stage_started
        The stage that is under way, and since when.
    loaded
        What the first stage fetched.
    weeks
        The weeks of production so far.
    champion, former, challenger
        The candidate that serves, the one before it, and one that waits to be judged.
    version, served
        The version that serves, and all that did in this run, with their candidates.
    calibrations
        By version, how often what it says comes true, on flights that it had not learned from.
    history
        What the policy may know of the weeks so far.
    repair
        What the owner of the feed was asked for, and has not answered yet.
    """

    config: RunConfig
    store: tracking.Store
    service: Service
    policy: Policy
    run_id: str = ""
    cycle: int = FIRST_CYCLE
    stage: str = STAGES[0]
    stage_started: float = 0.0
    origin: tracking.Provenance = field(default_factory=tracking.provenance)
    loaded: stages.Loaded | None = None
    weeks: list[Week] = field(default_factory=list)
    champion: stages.Candidate | None = None
    former: stages.Candidate | None = None
    challenger: Challenger | None = None
    version: str = ""
    served: dict[str, stages.Candidate] = field(default_factory=dict)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    history: list[Observation] = field(default_factory=list)
    repair: RepairOrder | None = None
    right_from: date = date.min

    def run_stage(self, stage: str, work: Callable[[], stages.Done[T]]) -> Steps[T]:
        """Yield a stage's start and end around ``work``, and return what it made."""
        self.stage = stage
        self.stage_started = time.perf_counter()
        yield StageStarted(stage, self.cycle)
        self.stage_started = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - self.stage_started
        yield StageFinished(stage, self.cycle, seconds, done.headline, done.figures)
        return done.made

    def fit(
        self,
        rows: pd.DataFrame,
        held_out: pd.DataFrame | None = None,
        about: Mapping[str, object] | None = None,
    ) -> stages.Done[stages.Candidate]:
        """Train a candidate in a run of its own, below this one."""
        name = f"{self.config.scenario} training {self.cycle}"
        return stages.fit(
            self.store,
            self.origin,
            rows,
            held_out,
            name=name,
            seed=self.config.seed,
            parent=self.run_id,
            about=about,
        )

    def release(
        self, candidate: stages.Candidate, verdict: Verdict, probe: pd.DataFrame, week: str
    ) -> Steps[None]:
        """Promote a candidate, unless the champion is another than it was judged against.

        The service follows.
        """
        reason = [check.seen for check in verdict.checks if check.name.startswith("better")][-1]
        entry = yield from self.run_stage(
            "register", lambda: stages.register(self.store, candidate, reason)
        )
        if isinstance(entry, Refusal):
            if self.champion is None:
                raise entry
            yield Rejected(week, entry.happened)
            return
        promoted = Promoted(week, entry.before, entry.after, reason, candidate.run_id)
        yield from self.put_to_work(candidate, promoted, probe)

    def put_to_work(
        self, candidate: stages.Candidate, promoted: Promoted, probe: pd.DataFrame
    ) -> Steps[None]:
        """Let the service follow a promotion; how sure the model is of labelled rows is noted."""
        version = promoted.to_version
        self.calibrations[version] = fit_calibration(
            candidate.result.model.probability(probe), probe["late"].to_numpy(dtype="float64")
        )
        self._crown(candidate, version)
        yield promoted
        yield from self._deploy(candidate, version, probe)

    def react(self, week: Week, result: ScoredWeek, firing: Collection[str]) -> Steps[None]:
        """Judge the candidate that waits, once enough is known, and ask the policy.

        Parameters
        ----------
        firing
            The alert rules that fired on the week.
        """
        self.weeks.append(replace(week, unharmed=None))
        self.history.append(self._observed(week, result, firing))
        yield from self._hear_of_the_repair(week)
        if self.challenger is not None:
            if result.event.labelled < MIN_COMPARED_ROWS:
                return
            yield from self._judge(self.challenger, result)
        yield from self._let_choose(week, result)
        decision, trouble = ask(self.policy, self.history)
        if trouble:
            yield Rejected(result.event.week, trouble)
        elif isinstance(decision, Retrain):
            yield from self._retrain(week, decision)
        elif isinstance(decision, RollBack):
            yield from self._roll_back(decision, result)
        elif isinstance(decision, Repair):
            yield from self._order_repair(week)

    def _let_choose(self, week: Week, result: ScoredWeek) -> Steps[None]:
        """Ask somebody what to do about the week, if the policy wants that, and note the answer.

        Nobody is asked about a week that began before a repair which is agreed. Whoever takes the
        events may let time pass after the question.
        """
        event = result.event
        if week.monday < self.right_from or not asks(self.policy, self.history):
            return
        yield Asked(event.week, event.number, self.history[-1].alarms)
        chosen, trouble = choice(self.policy, self.history)
        if trouble:
            yield Rejected(event.week, trouble)
            return
        self.history[-1] = replace(self.history[-1], chosen=chosen)
        told = [f"week {week.number}: {week.chosen}" for week in self.history if week.chosen]
        self.store.client.set_tag(self.run_id, "choices", "; ".join(told))
        yield Decided(event.week, chosen)

    def _order_repair(self, week: Week) -> Steps[None]:
        """Ask the owner of the feed, who answers some days later; from then on it is right."""
        assert self.loaded is not None
        today = looked_at(week)
        if self.repair is not None:
            against = f"The feed's owner is at it already and answers on {self.repair.due}."
            yield Rejected(week.monday.isoformat(), against)
            return
        self._acted()
        due = today + timedelta(days=REPAIR_DAYS)
        stream = self.loaded.stream
        broken = stream.broken_feeds(today, due)
        self.repair = RepairOrder(due, broken)
        self.loaded = replace(self.loaded, stream=stream.repaired(broken, due))
        yield RepairOrdered(week.monday.isoformat(), due.isoformat())

    def _hear_of_the_repair(self, week: Week) -> Steps[None]:
        if self.repair is None or looked_at(week) < self.repair.due:
            return
        monday = week.monday.isoformat()
        if self.repair.broken:
            self.right_from = self.repair.due
            yield Repaired(monday, self.repair.due.isoformat())
        else:
            yield Answered(monday)
        self.repair = None

    def _observed(self, week: Week, result: ScoredWeek, firing: Collection[str]) -> Observation:
        event = result.event
        better: tuple[str, ...] = ()
        if needs_versions(self.policy) and event.labelled >= MIN_COMPARED_ROWS:
            flights = labelled(result.flights)
            others = {
                version: candidate.result.model.probability(flights)
                for version, candidate in self.served.items()
                if candidate is not self.champion
            }
            better = surely_better(flights, others, flights["probability"].to_numpy())
        return Observation(
            week.number,
            ACCURACY_RULE in firing,
            alarms=tuple(sorted(firing)),
            drifted=event.drifted,
            confidence=event.confidence,
            version=event.model_version,
            better=better,
        )

    def _acted(self) -> None:
        self.history[-1] = replace(self.history[-1], acted=True)

    def _retrain(self, week: Week, decision: Retrain) -> Steps[None]:
        """Train a candidate on weeks of the past; it waits for later ones."""
        assert self.loaded is not None
        earlier = [self.loaded.rows, self.loaded.held_out]
        self.cycle += 1
        self._acted()
        today = week.monday.isoformat()
        chosen = yield from self.run_stage(
            "data", lambda: stages.gather(decision.window, earlier, self.weeks, looked_at(week))
        )
        rows = chosen.rows
        verdict = yield from self.run_stage(
            "validate", lambda: stages.validate(rows, int(chosen.whole_weeks * MIN_WEEK_ROWS))
        )
        if not verdict.passed:
            yield Rejected(today, f"Not retrained: {verdict.failures[0]}")
            return
        about = {
            "window": decision.window,
            "window_weeks": ", ".join(chosen.mondays),
            "trained_after": today,
            "because": decision.because,
        }
        try:
            candidate = yield from self.run_stage("train", lambda: self.fit(rows, about=about))
        except STORE_TROUBLE:
            raise
        except Exception as error:  # a training may fail in any way; the champion need not
            seconds = time.perf_counter() - self.stage_started
            why = _why_it_failed(error)
            yield StageFinished("train", self.cycle, seconds, "failed", {"failure": why})
            yield Rejected(today, f"Not retrained: {why}")
            return
        self.challenger = Challenger(candidate, decision.because)
        result = candidate.result
        yield Retrained(today, chosen.mondays, result.rows, candidate.run_id, result.seconds)

    def _judge(self, challenger: Challenger, result: ScoredWeek) -> Steps[None]:
        """Let the gate compare candidate and champion on the first week new to both.

        One that was to answer an alert is dropped if that has ended. A week without an alert may
        still be a low one that cannot tell; only one at or above the threshold needs no repair.
        """
        event = result.event
        candidate = challenger.candidate
        self.challenger = None
        self._acted()
        if challenger.because == ACCURACY and event.accuracy >= self.config.threshold:
            yield Rejected(event.week, ENDED)
            return
        flights = labelled(result.flights)
        champion = flights["probability"].to_numpy()
        rival = event.model_version
        verdict = yield from self.run_stage(
            "gate", lambda: stages.judge(self.store, candidate, flights, champion, rival)
        )
        against = verdict.failures[0] if verdict.failures else objection(self.policy, self.history)
        if against:
            yield Rejected(event.week, against)
        else:
            yield from self.release(candidate, verdict, flights, event.week)

    def _roll_back(self, decision: RollBack, result: ScoredWeek) -> Steps[None]:
        """Let a version serve again that served before in this run."""
        event = result.event
        candidate = self.served.get(decision.version)
        against = objection(self.policy, self.history)
        if candidate is None or candidate is self.champion:
            known = ", ".join(name for name in self.served if name != self.version) or "none"
            against = f"No version {decision.version} to go back to; it served before: {known}."
        if not decision.version:
            against = "Not rolled back: no other version has served in this run."
        if against or candidate is None:
            yield Rejected(event.week, against)
            return
        reason = f"Back to version {decision.version} ({decision.because})."
        entry = yield from self.run_stage(
            "register",
            lambda: stages.return_to(self.store, decision.version, self.version, reason),
        )
        if isinstance(entry, RegistryError):
            yield Rejected(event.week, entry.happened)
            return
        self._acted()
        self._crown(candidate, entry.after)
        yield RolledBack(event.week, entry.before, entry.after, reason, candidate.run_id)
        assert self.loaded is not None
        yield from self._deploy(candidate, entry.after, self.loaded.held_out)

    def _crown(self, candidate: stages.Candidate, version: str) -> None:
        self.former = self.champion
        self.champion = candidate
        self.version = version
        self.served[version] = candidate
        if self.history:
            self.history[-1] = replace(self.history[-1], moved=True)

    def _deploy(
        self, candidate: stages.Candidate, version: str, probe: pd.DataFrame
    ) -> Steps[None]:
        yield from self.run_stage(
            "deploy", lambda: stages.deploy(self.store, self.service, candidate, version, probe)
        )


def _why_it_failed(error: Exception) -> str:
    if isinstance(error, CourseError):
        return error.happened
    return f"The training failed ({type(error).__name__}: {short(str(error))})."
