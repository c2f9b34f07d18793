"""Policies tried on a table of models by weeks: what the loop would do, without its service.

It obeys what the loop obeys. A week is looked at when its labels are in; the same alert rules watch
it; a candidate waits for the first week that is new to it; the same gate (`release.comparison`)
judges it there; what is promoted serves from the week after. Without the gate a candidate serves
from the week after its training, for better or worse, unless the policy itself objects.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from math import nan

import pandas as pd

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.alerting.rules import Watch
from mlops_course.data.flights import labelled
from mlops_course.deciding.decisions import (
    ACCURACY,
    ALARMS,
    Observation,
    Policy,
    Retrain,
    RollBack,
    Window,
    ask,
    needs_versions,
    objection,
)
from mlops_course.monitoring import windows
from mlops_course.pipeline.cycles import ENDED
from mlops_course.pipeline.policies import (
    NeverRetrain,
    RetrainOnAlert,
    RetrainOnDrift,
    RetrainOnEstimate,
    RetrainOnSchedule,
    ReuseFirst,
)
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.release.comparison import MIN_COMPARED_ROWS, compare, surely_better
from mlops_course.retraining.matrix import Matrix

DAYS_A_WEEK = 7
REFUSED = "refused"
PROMOTED = "promoted"
ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Turn:
    """One week of a trial.

    Attributes
    ----------
    week
        Its number, from 1.
    model
        The model that served, by its number in the table.
    labelled, wrong
        Its flights with a label, and those of them that were called wrong.
    alerted
        Whether the rule on accuracy fired.
    waited
        Whether a candidate waited for this week's labels.
    trained
        Whether a candidate was trained after it.
    because
        What the training or the rollback answered to; empty for none.
    false_alarm
        Whether an alarm led to a training or a rollback though the week was of the kind that the
        model had learned from.
    outcomes
        What became of candidates and rollbacks after it, each with the reason: ``promoted``,
        ``refused`` or ``rolled back``.
    """

    week: int
    model: int
    labelled: int
    wrong: int
    alerted: bool
    waited: bool = False
    trained: bool = False
    because: str = ""
    false_alarm: bool = False
    outcomes: tuple[tuple[str, str], ...] = ()

    def ended(self, how: str, why: str = "") -> "Turn":
        """Return it with one more outcome."""
        return replace(self, outcomes=(*self.outcomes, (how, why)))

    def count(self, *hows: str) -> int:
        """Return how many outcomes are of some kinds."""
        return sum(how in hows for how, _ in self.outcomes)


@dataclass(frozen=True)
class Trial:
    """What a policy did in a world, and what came of it."""

    turns: tuple[Turn, ...]

    @property
    def trainings(self) -> int:
        """How many models were trained after the first."""
        return sum(turn.trained for turn in self.turns)

    @property
    def wrong(self) -> int:
        """How many labelled flights were called wrong."""
        return sum(turn.wrong for turn in self.turns)

    @property
    def right_share(self) -> float:
        """The share of labelled flights called right, NaN where none has a label."""
        flights = sum(turn.labelled for turn in self.turns)
        return 1 - self.wrong / flights if flights else nan

    @property
    def false_alarms(self) -> int:
        """How often an alarm led to something though nothing had changed for the model."""
        return sum(turn.false_alarm for turn in self.turns)

    @property
    def refusals(self) -> int:
        """How many candidates the gate, the policy or the data's own tests refused."""
        return sum(turn.count(REFUSED) for turn in self.turns)

    @property
    def moves(self) -> int:
        """How often another version became champion."""
        return sum(turn.count(PROMOTED, ROLLED_BACK) for turn in self.turns)

    @property
    def days_awaited(self) -> int:
        """On how many days a candidate stood ready and waited for labels to be judged on."""
        return DAYS_A_WEEK * sum(turn.waited for turn in self.turns)


def try_policy(
    matrix: Matrix, policy: Policy, *, threshold: float = 0.90, gated: bool = True
) -> Trial:
    """Return what a policy would have done in a world, week by week.

    Parameters
    ----------
    threshold
        Accuracy below which the alert fires, as for a run.
    gated
        Whether the gate judges candidates; without it, each serves from the next week on.

    Raises
    ------
    ParameterError
        If the policy wants a window that the table was not built with.
    """
    walk = _Walk(matrix, policy, threshold, gated)
    return Trial(tuple(walk.turn(week) for week in range(1, matrix.stretch.weeks + 1)))


def usual_policies(window: Window) -> dict[str, Policy]:
    """Return the policies that lesson 09 compares, each training on the same window."""
    return {
        "never": NeverRetrain(),
        "every week": RetrainOnSchedule(1, window),
        "every four weeks": RetrainOnSchedule(4, window),
        "on drift": RetrainOnDrift(window=window),
        "on the accuracy alert": RetrainOnAlert(window=window),
        "on the estimate": RetrainOnEstimate(window=window),
        "reuse, then the alert": ReuseFirst(RetrainOnAlert(window=window)),
        "reuse, then every week": ReuseFirst(RetrainOnSchedule(1, window)),
    }


class _Walk:
    """A policy on its way through the weeks.

    ``served`` holds the models that did, by the versions that they would have.
    """

    def __init__(self, matrix: Matrix, policy: Policy, threshold: float, gated: bool) -> None:
        self.matrix = matrix
        self.policy = policy
        self.threshold = threshold
        self.gated = gated
        rules = RunConfig(matrix.stretch.scenario, threshold=threshold).rules
        self.watch = Watch([rule for rule in rules if rule.name == ACCURACY_RULE])
        self.version = "1"
        self.served: dict[str, int] = {"1": 0}
        self.challenger: tuple[int, str] | None = None
        self.history: list[Observation] = []

    @property
    def model(self) -> int:
        return self.served[self.version]

    def turn(self, week: int) -> Turn:
        """Live through a week, and do what the policy says."""
        flights = self._answered(self.model, week)
        window = windows.Window(str(week), *self._times(week), flights, flights.iloc[:0])
        alerted = bool(self.watch.look(window).alerts)
        quality = window.quality
        known = quality.labelled
        wrong = int(self.matrix.wrong[self.model, week - 1])
        turn = Turn(week, self.model, known, wrong, alerted)
        self.history.append(self._observed(week, flights, alerted, known))
        if self.challenger is not None:
            turn = replace(turn, waited=True)
            if known < MIN_COMPARED_ROWS:
                return turn
            turn = self._judged(turn, labelled(flights), quality.accuracy)
        return self._decided(turn)

    def _observed(self, week: int, flights: pd.DataFrame, alerted: bool, known: int) -> Observation:
        better: tuple[str, ...] = ()
        if needs_versions(self.policy) and known >= MIN_COMPARED_ROWS:
            seen = labelled(flights)
            others = {
                version: labelled(self._answered(model, week))["probability"].to_numpy()
                for version, model in self.served.items()
                if version != self.version
            }
            better = surely_better(seen, others, seen["probability"].to_numpy())
        return Observation(
            week,
            alerted,
            drifted=self.matrix.stretch.truths[week - 1].drifted,
            confidence=float(self.matrix.confidence[self.model, week - 1]),
            version=self.version,
            better=better,
        )

    def _judged(self, turn: Turn, flights: pd.DataFrame, accuracy: float) -> Turn:
        """Let the gate compare the candidate with the champion on this week."""
        assert self.challenger is not None
        candidate, because = self.challenger
        self.challenger = None
        self._acted()
        if because == ACCURACY and accuracy >= self.threshold:
            return turn.ended(REFUSED, ENDED)
        answers = self._answered(candidate, turn.week)
        mine = answers.loc[flights.index, "probability"].to_numpy()
        champion = flights["probability"].to_numpy()
        verdict = compare(flights, mine, champion, must_gain=True)
        against = verdict.failures[0] if verdict.failures else objection(self.policy, self.history)
        if against:
            return turn.ended(REFUSED, against)
        self._crown(candidate)
        return turn.ended(PROMOTED)

    def _decided(self, turn: Turn) -> Turn:
        """Ask the policy, and do what it says."""
        decision, trouble = ask(self.policy, self.history)
        if trouble:
            return turn.ended(REFUSED, trouble)
        if isinstance(decision, Retrain):
            return self._retrained(turn, decision)
        if isinstance(decision, RollBack):
            return self._rolled_back(turn, decision)
        return turn

    def _retrained(self, turn: Turn, decision: Retrain) -> Turn:
        self._acted()
        false = self._is_false(turn, decision.because)
        turn = replace(turn, because=decision.because, false_alarm=false)
        if turn.week == self.matrix.stretch.weeks:
            return replace(turn, trained=True)  # no week will see that model
        candidate = self.matrix.find(turn.week, decision.window)
        if fault := self.matrix.models[candidate].fault:
            return turn.ended(REFUSED, fault)
        turn = replace(turn, trained=True)
        if self.gated:
            self.challenger = (candidate, decision.because)
            return turn
        if against := objection(self.policy, self.history):
            return turn.ended(REFUSED, against)
        self._crown(candidate)
        return turn.ended(PROMOTED)

    def _rolled_back(self, turn: Turn, decision: RollBack) -> Turn:
        against = objection(self.policy, self.history)
        if decision.version not in self.served or decision.version == self.version:
            against = f"There is no version {decision.version} to go back to."
        if against:
            return turn.ended(REFUSED, against)
        false = self._is_false(turn, decision.because)
        self._acted()
        self.version = decision.version
        self.history[-1] = replace(self.history[-1], moved=True)
        turn = replace(turn, because=decision.because, false_alarm=false)
        return turn.ended(ROLLED_BACK)

    def _is_false(self, turn: Turn, because: str) -> bool:
        """Return whether an alarm met a week of the one kind that the model had learned from."""
        incident = self.matrix.stretch.truths[turn.week - 1].incident
        return because in ALARMS and self.matrix.models[turn.model].regimes == {incident}

    def _crown(self, candidate: int) -> None:
        self.version = str(len(self.served) + 1)
        self.served[self.version] = candidate
        self.history[-1] = replace(self.history[-1], moved=True)

    def _acted(self) -> None:
        self.history[-1] = replace(self.history[-1], acted=True)

    def _answered(self, model: int, week: int) -> pd.DataFrame:
        """Return a week's flights with a model's answers, of which only the calls are known."""
        flights = self.matrix.stretch.flights.iloc[self.matrix.stretch.inside(week)]
        return flights.assign(probability=self.matrix.called_late(model, week).astype("float64"))

    def _times(self, week: int) -> tuple[pd.Timestamp, pd.Timestamp]:
        monday = self.matrix.stretch.truths[week - 1].monday
        return pd.Timestamp(monday), pd.Timestamp(monday + timedelta(days=DAYS_A_WEEK))
