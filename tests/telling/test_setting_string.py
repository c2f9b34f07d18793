"""A run's settings as one line: read, written, and the same run from it, for real."""

from dataclasses import replace

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.deciding.choices import Choices
from mlops_course.pipeline.asking import Decided
from mlops_course.pipeline.events import RunStarted
from mlops_course.pipeline.policies import NAMED, RetrainOnSchedule
from mlops_course.pipeline.scenarios import RETRAINING, SCENARIOS, RunConfig
from mlops_course.pipeline.state import RunState, fold
from mlops_course.simulator.simulator import PipelineSimulator
from mlops_course.telling import setting_string

THRESHOLDS = (0.5, 0.85, 0.9, 0.925, 0.999, 0.1 + 0.6, 2 / 3, 0.8999999999999999)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", [None, 0, 2**32 - 1])
@pytest.mark.parametrize("retrain", RETRAINING)
def test_line_when_written_and_read_then_is_the_same_run(scenario, seed, retrain):
    for threshold in THRESHOLDS:
        config = RunConfig(scenario, None, seed, threshold, retrain)
        line = setting_string.write(config)
        assert setting_string.read(line).config == replace(config, weeks=config.planned_weeks)
        assert setting_string.write(setting_string.read(line).config) == line


@pytest.mark.parametrize("policy", NAMED)
def test_line_when_a_named_policy_decided_then_names_it_and_the_simulator_has_it(policy):
    line = setting_string.write(RunConfig("drift"), policy)
    asked = setting_string.arguments(line)
    assert asked["policy"] == NAMED[policy]
    run = RunStarted("drift", "Data drift", 0, 0.9, 8, "auto", "abc", repr(NAMED[policy]))
    assert setting_string.of_run(RunState(started=run)) == line


def test_line_when_a_person_chose_then_holds_the_choices_in_order():
    run = RunStarted("drift", "Data drift", 0, 0.9, 8, "ask", "abc")
    chosen = [Decided("2013-09-23", "look"), Decided("2013-09-30", "repair")]
    line = setting_string.of_run(fold([run, *chosen]))
    assert line == "drift weeks=8 seed=0 alert=90% choose=look,repair"
    asked = setting_string.arguments(line)
    assert asked["retrain"] == "ask" and asked["policy"] == Choices("look", "repair")


def test_line_when_a_policy_of_ones_own_decided_then_there_is_none():
    run = RunStarted("drift", "t", 0, 0.9, 8, "auto", "abc", repr(RetrainOnSchedule(every=5)))
    assert setting_string.of_run(RunState(started=run)) == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "The settings are ''. They are one line that begins with a scenario"),
        (None, "The settings are None."),
        ("winter weeks=3", "There is no scenario 'winter'. Known scenarios: good, drift"),
        ("weeks=3 drift", "The settings begin with 'weeks=3'. The first word is the scenario"),
        ("drift colour=red", "The word 'colour=red' is not known. After the scenario come weeks="),
        ("drift fast", "The word 'fast' is not known"),
        ("drift weeks", "The word 'weeks' is not known"),
        ("drift weeks=", "The word 'weeks=' cannot be read. weeks= takes a whole number"),
        ("drift weeks=99", "The number of weeks is 99. Scenario 'drift' has 1 to 17 weeks"),
        ("drift weeks=0", "The number of weeks is 0"),
        ("drift seed=-1", "The word 'seed=-1' cannot be read. seed= takes a whole number, or none"),
        ("drift seed=1_0", "The word 'seed=1_0' cannot be read"),
        ("drift seed=4294967296", "The seed is 4294967296"),
        ("drift alert=40%", "The word 'alert=40%' cannot be read. alert= takes a percentage"),
        ("drift alert=nan", "The word 'alert=nan' cannot be read"),
        ("drift alert=90%%", "The word 'alert=90%%' cannot be read"),
        ("drift retrain=maybe", "retrain= takes auto, never, ask"),
        ("drift policy=luck", "policy= takes never, schedule"),
        ("drift seed=1 seed=2", "The word 'seed=2' is the second seed=. Each is said once"),
        ("drift choose=pray", "choose= takes choices with commas between: look, repair"),
        ("drift retrain=auto policy=drift", "The settings say retrain and policy"),
    ],
)
def test_line_when_it_cannot_be_read_then_says_which_word_and_what_is_allowed(line, said):
    with pytest.raises(ParameterError) as refused:
        setting_string.read(line)
    assert said in str(refused.value)


@pytest.mark.parametrize("alert", ["90%", "90", "0.9"])
def test_alert_when_written_as_people_do_then_is_the_same_share(alert):
    assert setting_string.read(f"good alert={alert}").config.threshold == 0.9


def test_runs_when_begun_by_one_line_then_give_the_same_figures_and_the_line_again(
    shared_workspace,
):
    line = "drift weeks=7 seed=3 alert=91.5% retrain=auto"
    said = []
    for _ in range(2):
        simulator = PipelineSimulator.from_settings(line, workspace=shared_workspace)
        try:
            simulator.run()
        finally:
            simulator.close()
        assert line in simulator.view.again
        weeks = simulator.result.weeks.drop(columns=["latency_ms", "model_version"])
        said.append((weeks.to_dict("list"), simulator.result.alerts.to_dict("list")))
    assert repr(said[0]) == repr(said[1])
    assert len(said[0][1]["week"]) >= 2, "a run in which nothing happens proves little"


def test_settings_when_changed_to_a_line_then_are_those_and_a_policy_is_refused(shared_workspace):
    simulator = PipelineSimulator(workspace=shared_workspace)
    try:
        simulator.change(settings="hours weeks=5 seed=none alert=85% retrain=never")
        assert simulator.config == RunConfig("hours", 5, None, 0.85, "never")
        with pytest.raises(ParameterError, match=r"PipelineSimulator\.from_settings"):
            simulator.change(settings="drift policy=drift")
        assert simulator.config.scenario == "hours"
        assert not simulator.view.linked, "MLflow's tile shows the usual workspace alone"
    finally:
        simulator.close()
