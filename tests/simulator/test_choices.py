"""Questions, choices not taken and mysteries in the simulator, without a browser."""

import re
from collections.abc import Iterator

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.deciding.choices import Choices
from mlops_course.picture.hindsight import aftermath, hindsight
from mlops_course.pipeline.asking import Decided, OtherPlayed
from mlops_course.pipeline.events import WeekScored
from mlops_course.pipeline.scenarios import RunConfig, scenario_of
from mlops_course.pipeline.state import fold
from mlops_course.simulator import recording
from mlops_course.simulator.simulator import PipelineSimulator

PATIENCE = 120
# The incident's weeks in the chart; the legend's mark has no place.
BAND = '<rect class="mls-incident" x='


@pytest.fixture(scope="module")
def sim(shared_workspace) -> Iterator[PipelineSimulator]:
    made = PipelineSimulator("drift", 6, retrain="ask", workspace=shared_workspace, pace="instant")
    yield made
    made.close()


def send(simulator: PipelineSimulator, **message: object) -> str:
    """Send what the page sends; return what was refused, and why."""
    simulator.view._handle_custom_msg(message, [])
    return simulator.view.refused


def test_run_when_to_ask_and_without_a_person_then_says_what_to_do_and_keeps_the_former(sim):
    with pytest.raises(ParameterError, match="leaves nobody to answer"):
        sim.run()
    assert sim.state.status == "idle"


def test_choice_when_no_question_is_open_then_is_refused_in_the_page(sim):
    assert "No question is open" in send(sim, choose="repair")
    assert "There is no choice" in send(sim, choose="pray")


def test_question_when_reset_or_answered_then_the_run_ends_or_goes_on(sim):
    sim.play()
    assert sim.wait(PATIENCE)
    assert (sim.view.mode, sim.state.status) == ("asking", "asking")
    assert sim.view.question.count("data-choice") == 5
    assert "waiting for your decision" in sim.view.status
    sim.look_at(0)
    assert sim.view.question and sim.view.mode == "asking"
    sim.reset()
    assert sim.view.question == "" and sim._session.former.wait(PATIENCE)
    sim.play()
    assert sim.wait(PATIENCE) and send(sim, choose="dismiss") == ""
    assert sim.wait(PATIENCE) and sim.state.status == "finished"
    assert [event.choice for event in sim.events if isinstance(event, Decided)] == ["dismiss"]


def test_others_when_played_then_are_real_runs_of_the_same_seed(sim, shared_workspace):
    before = sim.service.version
    played = {other.choice: other.came for other in sim.others()}
    assert list(played) == ["look", "repair", "roll-back", "retrain"]
    assert sim.service.version == before
    mine = aftermath(sim.state, "2013-09-23")
    assert played["look"] == mine and "Not rolled back" in played["roll-back"].refused
    assert played["repair"].wrong < mine.wrong and mine.days is None
    assert len(sim.others()) == 4  # nothing is played twice
    told = sim.view.hindsight
    assert told.count("<tr>") == 6 and "did best" in told and "data-others" not in told
    page = recording.page(sim.events, sim.settings)
    assert hindsight(fold(sim.events)) == told and len(page) < 3_000_000


def test_others_when_nothing_was_chosen_then_are_refused(shared_workspace):
    other = PipelineSimulator("good", 1, workspace=shared_workspace)
    with pytest.raises(ParameterError, match="no choice"):
        other.others()
    other.close()


def test_scripted_simulator_when_run_then_needs_nobody(shared_workspace):
    made = PipelineSimulator(
        "drift", 4, retrain="ask", policy=Choices("repair"), workspace=shared_workspace
    )
    assert made.run().state.status == "finished"
    assert [event.choice for event in made.events if isinstance(event, Decided)] == ["repair"]
    made.close()


def texts_of(simulator: PipelineSimulator) -> str:
    """Return all that a mystery lets somebody read, without what is the same in every world."""
    names = set(simulator.view.trait_names(sync=True)) - {"choices", "about", "_esm", "_css"}
    traits = [str(getattr(simulator.view, name)) for name in names]
    traits += [repr(simulator), repr(simulator.state), repr(simulator.events)]
    traits += [simulator.picture().svg, repr(simulator.picture())]
    frames = recording._frames(simulator.events, recording.moments(simulator.events), None)
    return re.sub(r"<select.*?</select>", "", " ".join([*traits, str(frames)]), flags=re.S)


def test_mystery_when_not_diagnosed_then_nothing_that_can_be_read_tells_the_truth(shared_workspace):
    seed = next(s for s in range(99) if scenario_of(RunConfig("mystery", seed=s)).strikes)
    truth = scenario_of(RunConfig("mystery", seed=seed)).incident
    made = PipelineSimulator("mystery", 6, seed, workspace=shared_workspace)
    made.run()
    text = texts_of(made)
    for incident in INCIDENTS.values():
        assert incident.title not in text and incident.story not in text
    assert "incident=True" not in text and BAND not in made.view.chart
    assert made.view.debrief == "" and not made.result.weeks["incident"].any()
    assert "no diagnosis" in send(made, diagnose="bad luck")
    wrong = next(name for name in INCIDENTS if name != truth.name)
    told = made.diagnose(wrong)
    assert told.truth == truth.title and "not right" in told.message
    assert BAND in made.view.chart
    assert truth.story in made.view.debrief.replace("&#39;", "'")
    assert made.result.weeks["incident"].any()
    assert any(e.incident for e in made.events if isinstance(e, WeekScored))
    assert "no mystery to solve" in send(made, diagnose=wrong)
    assert not [event for event in made.events if isinstance(event, OtherPlayed)]
    made.close()
