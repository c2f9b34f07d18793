"""The stage panel: what it offers, what it shows of a run; and its code and its claims are true."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from statistics import fmean

import pytest
from handmade import drift_run, started

from mlops_course.picture import panel
from mlops_course.pipeline.events import REFUSED, STAGES, RunStarted, StageFinished
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.state import RunState, fold
from mlops_course.serving.service import Service
from mlops_course.telling import content, setting_string

RUN_ID = "61cfcf7bb7704723b308a4721bfb4a64"


# ---- figures


def test_figures_when_a_stage_ran_twice_then_shows_both_cycles():
    rendered = panel.figures(fold(drift_run()), "train")
    assert "cycle 1" in rendered and "cycle 2" in rendered and "65,272" in rendered


def test_figures_when_one_is_not_known_then_says_so():
    state = fold([StageFinished("train", 1, 0.1, "", {"recall": float("nan")})])
    assert "<td>unknown</td>" in panel.figures(state, "train")


def test_figures_when_a_name_is_no_plain_word_then_explains_itself():
    done = StageFinished("deploy", 1, 0.1, "live", {"smoke rows": 200, "version": "1"})
    rendered = panel.figures(fold([done]), "deploy")
    assert 'data-key="deploy-1-smoke rows"' in rendered and rendered.count("mls-term") == 1


def ways(markup: str) -> list[str]:
    """Return where a panel's links lead below MLflow's address."""
    return re.findall(r'data-mlflow="([^"]*)"', markup)


def test_artefacts_when_a_run_has_some_then_each_leads_to_its_own_page_in_mlflow():
    trained = StageFinished("train", 1, 0.1, "", {"MLflow run": RUN_ID})
    judged = StageFinished("gate", 1, 0.1, "passed", {})
    figures = {"model": "push-back", "version": "3", "run": RUN_ID}
    registered = StageFinished("register", 1, 0.1, "version 3", figures)
    live = StageFinished("deploy", 1, 0.1, "live", {"version": "3"})
    state = fold([*started(run_id="abc")[:3], trained, judged, registered, live])
    assert ways(panel.figures(state, "data")) == ["#/runs/abc"]
    assert ways(panel.figures(state, "train")) == [f"#/runs/{RUN_ID}"]
    assert ways(panel.figures(state, "gate")) == [f"#/runs/{RUN_ID}"]
    assert ways(panel.figures(state, "register")) == ["#/models/push-back/versions/3"]
    assert ways(panel.figures(state, "deploy")) == ["#/models/push-back/versions/3"]


def test_artefacts_when_no_page_makes_them_links_then_they_are_text_with_the_id():
    state = fold([*started()[:1], StageFinished("train", 1, 0.1, "", {"MLflow run": RUN_ID})])
    shown = panel.figures(state, "train")
    assert f">run {RUN_ID}</a>" in shown and "href" not in shown


def test_artefacts_when_an_id_holds_another_address_then_the_way_stays_below_mlflow():
    state = fold([RunStarted("good", "t", 0, 0.9, 8, "auto", "../x?y"), *started()[1:3]])
    assert ways(panel.figures(state, "data")) == ["#/runs/..%2Fx%3Fy"]


# ---- the code by hand


def test_stage_texts_when_read_then_say_everything_about_every_stage():
    texts = content.stage_texts()
    assert tuple(texts) == STAGES
    for text in texts.values():
        assert text.purpose and text.tools and len(text.risks) >= 2
        assert len(text.code.splitlines()) <= 23


def test_code_by_hand_when_shown_then_says_what_it_needs_and_in_which_order():
    assert "needs nothing before it" in panel.about("data")
    assert "Run the code of Data, Validate and Train first, in this order." in panel.about("gate")
    assert panel.code_of("gate").startswith("# By hand, 4 of 7: Gate\n")


def test_code_by_hand_when_run_in_order_then_works_and_ends_what_it_started(tmp_path):
    code = "\n".join(panel.code_of(stage) for stage in STAGES)
    script = f"""{code}
print(low > 0, version, len(calls), alert)
print([other.name for other in threading.enumerate() if not other.daemon])
try:
    httpx.get(f"http://127.0.0.1:{{port}}/")
except httpx.ConnectError:
    print("nobody answers")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    said = done.stdout.splitlines()[-3:]
    assert said == ["True 1 100 False", "['MainThread']", "nobody answers"], done.stderr


# ---- what can go wrong


def before_and_since(state: RunState) -> tuple[float, float]:
    """Return the mean accuracy of the weeks before the fourth, and from it on."""
    accuracies = [week.accuracy for week in state.weeks]
    return fmean(accuracies[:3]), fmean(accuracies[3:])


def drift_is_shown(state: RunState) -> bool:
    before, _ = before_and_since(state)
    moved = all("dep_delay" in week.drifted for week in state.weeks[3:])
    low = all(week.accuracy < before - 0.05 for week in state.weeks[3:6])
    served = {week.number: week.model_version for week in state.weeks}
    return moved and low and served[6] != served[7] and state.weeks[-1].incident


def hours_are_shown(state: RunState) -> bool:
    before, since = before_and_since(state)
    return since < before - 0.05 and not any(week.findings for week in state.weeks)


def dead_weather_is_shown(state: RunState) -> bool:
    failed = all(week.findings for week in state.weeks[3:])
    return failed and not any(week.alert for week in state.weeks)


def padding_is_shown(state: RunState) -> bool:
    third = state.weeks[2].accuracy
    again = [week for week in state.weeks if week.former_accuracy is not None]
    return bool(again) and all(
        week.former_accuracy < week.accuracy < third - 0.05 for week in again
    )


def high_line_is_shown(state: RunState) -> bool:
    gates = [record for record in state.records if record.stage == "gate"]
    again = [gate.headline for gate in gates if gate.cycle > 1]
    return len(again) >= 1 and set(again) == {REFUSED} and not state.weeks[2].incident


def repair_is_shown(state: RunState) -> bool:
    late = state.weeks[8:]
    return len(late) == 5 and all(week.former_accuracy > week.accuracy for week in late)


def refused_is_shown(state: RunState) -> bool:
    return [week.answered == 0 for week in state.weeks] == [False] * 3 + [True] * 5


def timezone_is_shown(state: RunState) -> bool:
    before, since = before_and_since(state)
    moved = all("hour" in week.drifted for week in state.weeks[3:])
    return moved and abs(before - since) < 0.02 and not any(week.alert for week in state.weeks)


CLAIMS: Mapping[str, Callable[[RunState], bool]] = {
    "drift": drift_is_shown,
    "hours": hours_are_shown,
    "dead-weather": dead_weather_is_shown,
    "padding": padding_is_shown,
    "good": high_line_is_shown,
    "repaired": repair_is_shown,
    "refused": refused_is_shown,
    "timezone": timezone_is_shown,
}
SHOWN = sorted(
    {risk.show for text in content.stage_texts().values() for risk in text.risks if risk.show}
)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with closing(Service()) as started_once:
        yield started_once


@pytest.mark.parametrize("line", SHOWN)
def test_risk_when_its_button_is_pressed_then_the_run_shows_what_it_says(
    line, shared_workspace, service
):
    config = setting_string.read(line).config
    assert setting_string.write(config) == line
    with closing(run_pipeline(config, shared_workspace, service)) as events:
        state = fold(events)
    assert state.status == "finished", state.error
    assert CLAIMS[config.scenario](state)


def test_risks_when_read_then_each_stage_has_one_that_can_be_shown_and_others_have_no_button():
    for stage, text in content.stage_texts().items():
        can = [risk for risk in text.risks if risk.show]
        assert can and all(risk.look for risk in can), stage
        assert panel.about(stage).count('class="mls-show"') == len(can)
    assert "Show me: Good data, alert below 99%" in panel.about("gate")


# ---- the same run again


def test_again_when_a_line_holds_the_run_then_shows_it_with_the_version_else_says_why_not():
    shown = panel.again("drift weeks=8", "1.2.3", "")
    assert '<code class="mls-line">drift weeks=8</code>' in shown and "1.2.3" in shown
    assert "cannot hold what decided here: Mine()" in panel.again("", "1.2.3", "Mine()")
