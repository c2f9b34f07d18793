"""Policies tried on a table of models; the loop itself is the measure."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.decisions import (
    Retrain,
    RollBack,
    Window,
)
from mlops_course.pipeline.events import (
    AlertRaised,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    WeekScored,
)
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.policies import (
    DecideByHand,
    NeverRetrain,
    RetrainOnAlert,
    RetrainOnDrift,
    RetrainOnEstimate,
    RetrainOnSchedule,
    ReuseFirst,
)
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.retraining import oracle
from mlops_course.retraining.safeguards import FirstByHand
from mlops_course.retraining.trials import try_policy

FORTNIGHT = Window(2)
WEEKS = 11
COMPARED = {
    "drift": [
        RetrainOnAlert(),
        RetrainOnSchedule(1, FORTNIGHT),
        RetrainOnDrift(window=FORTNIGHT),
        RetrainOnEstimate(fall=0.001, window=FORTNIGHT),
    ],
    "repaired": [ReuseFirst(), ReuseFirst(RetrainOnSchedule(2, FORTNIGHT))],
}


def only(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


def in_the_loop(events):
    """Return of each week what the loop did: wrong calls, alert, what was done, which version."""
    by_week = {}
    for event in events:
        if isinstance(event, WeekScored):
            wrong = round(event.labelled * (1 - event.accuracy))
            by_week[event.week] = [event.model_version, event.labelled, wrong]
        elif isinstance(event, AlertRaised | Retrained | Promoted | Rejected | RolledBack):
            by_week.get(event.week, []).append(type(event).__name__)
    first = only(events, Promoted)[0].to_version
    order = [first, *(event.to_version for event in only(events, Promoted)[1:])]
    return [[str(order.index(week[0]) + 1), *week[1:]] for week in by_week.values()]


def in_the_trial(trial):
    """Return the same of a trial; models by the order in which they came into charge."""
    order = []
    words = {"promoted": "Promoted", "refused": "Rejected", "rolled back": "RolledBack"}
    found = []
    for turn in trial.turns:
        order += [] if turn.model in order else [turn.model]
        done = ["AlertRaised"] if turn.alerted else []
        done += [words[how] for how, _ in turn.outcomes]
        done += ["Retrained"] if turn.trained else []
        found.append([str(order.index(turn.model) + 1), turn.labelled, turn.wrong, *done])
    return found


@pytest.mark.parametrize(
    ("scenario", "policy"),
    [(scenario, policy) for scenario, policies in COMPARED.items() for policy in policies],
    ids=str,
)
def test_trial_when_the_loop_runs_the_same_then_both_do_the_same_week_by_week(
    tables, shared_workspace, service, scenario, policy
):
    config = RunConfig(scenario, WEEKS, seed=0)
    events = list(run_pipeline(config, shared_workspace, service, policy))
    trial = try_policy(tables[scenario], policy)
    assert in_the_trial(trial) == in_the_loop(events)
    assert trial.trainings == len(only(events, Retrained)) > 0
    assert trial.moves == len(only(events, Promoted, RolledBack)) - 1


def test_trial_when_nothing_is_retrained_then_the_first_model_serves_all_weeks(tables):
    trial = try_policy(tables["drift"], NeverRetrain())
    assert {turn.model for turn in trial.turns} == {0}
    assert trial.wrong == tables["drift"].wrong[0].sum()
    assert (trial.trainings, trial.false_alarms, trial.refusals, trial.moves) == (0, 0, 0, 0)
    assert trial.days_awaited == 0


def test_trial_when_there_is_no_gate_then_a_candidate_serves_the_week_after_its_training(tables):
    table = tables["drift"]
    policy = DecideByHand({5: Retrain(FORTNIGHT)})
    gated = try_policy(table, policy)
    free = try_policy(table, policy, gated=False)
    number = table.find(5, FORTNIGHT)
    assert [turn.model for turn in gated.turns] == [0] * 6 + [number] * 5
    assert [turn.model for turn in free.turns] == [0] * 5 + [number] * 6
    assert gated.days_awaited == 7 and free.days_awaited == 0
    assert free.wrong < gated.wrong and free.moves == gated.moves == 1


def test_trial_when_there_is_no_gate_then_the_policy_may_still_object(tables):
    policy = FirstByHand(DecideByHand({5: Retrain(FORTNIGHT)}), lambda history: False)
    trial = try_policy(tables["drift"], policy, gated=False)
    assert {turn.model for turn in trial.turns} == {0} and trial.trainings == 1
    assert "Nobody has approved" in trial.turns[4].outcomes[0][1]


def test_trial_when_a_candidate_gains_nothing_then_the_gate_refuses_it_and_says_why(tables):
    trial = try_policy(tables["drift"], DecideByHand({1: Retrain(FORTNIGHT)}))
    assert trial.refusals == 1 and trial.moves == 0
    assert "more than 0 is asked" in trial.turns[1].outcomes[0][1]


def test_trial_when_an_alarm_meets_what_the_model_knows_then_it_was_a_false_one(tables):
    @dataclass(frozen=True)
    class Always:
        because: str

        def decide(self, history):
            return Retrain(FORTNIGHT, self.because)

    alarms = try_policy(tables["drift"], Always("drift"))
    known = [turn.week for turn in alarms.turns if turn.false_alarm]
    models = tables["drift"].models
    assert {1, 2, 3} <= set(known) and not {4, 5, 6} & set(known)
    last = alarms.turns[-1]
    assert last.false_alarm == (models[last.model].regimes == {"clock"})
    assert try_policy(tables["drift"], Always("schedule")).false_alarms == 0


def test_trial_when_the_table_lacks_a_window_then_says_which_it_has(tables):
    with pytest.raises(ParameterError, match="on the last 5 weeks"):
        try_policy(tables["drift"], RetrainOnSchedule(1, Window(5)))


def test_trial_when_the_policy_raises_then_says_so_each_week_and_nothing_moves(tables):
    class Broken:
        def decide(self, history):
            raise KeyError("drift")

    trial = try_policy(tables["drift"], Broken())
    said = "The policy failed (KeyError: 'drift'): nothing was done."
    assert {turn.outcomes for turn in trial.turns} == {(("refused", said),)}
    assert {turn.model for turn in trial.turns} == {0} and trial.trainings == 0


def test_trial_when_the_training_has_failed_then_says_why_and_the_champion_stays(tables):
    table = tables["drift"]
    number = table.find(5, FORTNIGHT)
    models = list(table.models)
    models[number] = replace(models[number], fault="There was no training.")
    policy = DecideByHand({5: Retrain(FORTNIGHT)})
    for gated in (True, False):
        trial = try_policy(replace(table, models=tuple(models)), policy, gated=gated)
        assert trial.turns[4].outcomes == (("refused", "There was no training."),)
        assert {turn.model for turn in trial.turns} == {0} and trial.trainings == 0


def test_trial_when_no_flight_has_a_label_then_nothing_moves_and_no_share_is_made_up(tables):
    stretch = tables["drift"].stretch
    blind = replace(stretch, flights=stretch.flights.assign(late=np.nan))
    table = replace(tables["drift"], stretch=blind)
    for policy in (ReuseFirst(RetrainOnSchedule(1, FORTNIGHT)), RetrainOnAlert()):
        trial = try_policy(table, policy)
        assert (trial.wrong, trial.moves, trial.turns[-1].alerted) == (0, 0, False)
        assert np.isnan(trial.right_share)
    costs = oracle.table(table, {"blind": trial})
    assert costs["right"].isna().all() and list(costs["wrong"]) == [0, 0]


@pytest.mark.parametrize("decision", [RollBack("1"), RollBack("7"), "retrain", None])
def test_trial_when_a_policy_says_what_cannot_be_done_then_nothing_moves(tables, decision):
    trial = try_policy(tables["drift"], DecideByHand({3: decision}))
    ((how, why),) = trial.turns[2].outcomes
    assert how == "refused" and why
    assert {turn.model for turn in trial.turns} == {0}


def test_trial_when_a_person_never_approves_then_every_candidate_is_refused(tables):
    policy = FirstByHand(RetrainOnAlert(), lambda history: False)
    trial = try_policy(tables["drift"], policy)
    assert trial.moves == 0 and trial.refusals == 2  # the third was trained after the last week
    assert "Nobody has approved" in trial.turns[6 - 1].outcomes[0][1]


def test_trial_when_the_champion_moves_then_history_tells_which_version_served(tables):
    seen = []

    @dataclass(frozen=True)
    class Watching:
        needs_versions: bool = True

        def decide(self, history):
            seen.append(history[-1])
            return ReuseFirst().decide(history)

    try_policy(tables["repaired"], Watching())
    assert [week.version for week in seen] == ["1"] * 6 + ["2"] * 3 + ["1"] * 2
    assert [week.number for week in seen if week.moved] == [6]  # told before the rollback
    assert seen[8].better == ("1",) and seen[9].better == ()
    assert not np.isnan([week.confidence for week in seen]).any()
