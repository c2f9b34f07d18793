import json
from datetime import date

import pytest

from mlops_course.cli.main import SURROUNDINGS, main
from mlops_course.core.workspace import HOME_VARIABLE, open_workspace
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Stream, Strike
from mlops_course.monitoring import labels
from mlops_course.serving.prediction_log import PredictionLog, Scored
from mlops_course.serving.replay import as_requests
from mlops_course.serving.routing import CHAMPION
from mlops_course.training.trainer import TrainingConfig, train


@pytest.fixture(scope="module")
def watched(shared_workspace, tmp_path_factory):
    """A workspace whose service has left eight weeks of answers, its departure clock switched."""
    workspace = open_workspace(tmp_path_factory.mktemp("watched"), cache=shared_workspace.cache)
    flights = load_flights(workspace, "2013-09-02", "2013-10-27")
    late = date(2013, 9, 23)
    stream = Stream(flights, date(2013, 9, 2), (Strike(INCIDENTS["clock"], late),))
    log = PredictionLog(workspace.run_log)
    labels.begin(labels.beside(workspace.run_log))
    model = train(load_flights(workspace, last="2013-03-17"), TrainingConfig()).model
    for week in stream.weeks(8):
        sent, bodies = as_requests(week.flights, 1_500)
        answers = sent.assign(probability=model.probability(sent)).groupby("request_id")
        for name, rows in answers["probability"]:
            log.append(Scored(name, CHAMPION, "1", bodies[name], 5.0, rows.tolist()))
        labels.expect(labels.beside(workspace.run_log), sent)
        labels.arrive(labels.beside(workspace.run_log), sent)
    log.close()
    return workspace


def watch(capsys, monkeypatch, workspace, *options):
    """Run the command as a terminal would, and return its status, and what it printed."""
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(workspace.root)}.items():
        monkeypatch.setenv(name, value)
    status = main(["monitor", *map(str, options)])
    return status, capsys.readouterr()


def test_monitor_when_a_clock_was_switched_then_the_rules_that_are_for_it_fire_that_day(
    capsys, monkeypatch, watched
):
    status, printed = watch(capsys, monkeypatch, watched, "--json")
    found = json.loads(printed.out)
    first = {}
    for alert in found["alerts"]:
        first.setdefault(alert["rule"], alert)
    assert status == 1 and first["the model is unsure"]["window"] == "2013-09-23"
    assert first["inputs drifted"]["since"] == "the week of 2013-09-23"
    assert first["budget gone before its time"]["limit"] == 1.0
    assert "flights unanswered" not in first
    for alert in found["alerts"]:
        assert alert["owner"] and alert["runbook"] and alert["severity"] in ("page", "ticket")
    weeks = [one for one in found["windows"] if one["length"] == "7 days"]
    assert [one["start"][:10] for one in weeks][:2] == ["2013-09-02", "2013-09-09"]
    assert weeks[0]["answered"] > 6_000 and weeks[0]["unanswered"] == 0
    assert weeks[0]["figures"]["drift_score"] < 1 < weeks[3]["figures"]["drift_score"]
    assert found["findings"] == []


def test_monitor_when_read_by_a_person_then_says_each_episode_once_and_what_could_not_be_told(
    capsys, monkeypatch, watched
):
    status, printed = watch(capsys, monkeypatch, watched)
    lines = printed.out.splitlines()
    assert status == 1 and lines[0].endswith("64 windows.")
    assert sum("budget gone before its time: " in line for line in lines) == 1
    assert "- flights missing: could not tell 7 times, the last for 2013-09-08." in lines


def test_monitor_when_a_rules_file_is_given_then_its_rules_decide(
    capsys, monkeypatch, watched, tmp_path
):
    rule = '[[rule]]\nname = "any"\nfigure = "called_late"\n{}\nowner = "x"\nrunbook = "y"\n'
    path = tmp_path / "rules.toml"
    for limit, expected in (("above = 0.9", 0), ("above = 0.1", 1), ("abvoe = 0.1", 2)):
        path.write_text(rule.format(limit))
        status, printed = watch(capsys, monkeypatch, watched, "--rules", path)
        assert status == expected, printed
    assert str(path) in printed.err and "do you mean above?" in printed.err
    assert watch(capsys, monkeypatch, watched, "--rules", tmp_path / "none.toml")[0] == 2


def test_monitor_when_there_is_nothing_to_watch_then_could_not_judge(
    capsys, monkeypatch, watched, tmp_path
):
    empty = open_workspace(tmp_path / "empty", cache=watched.cache)
    status, printed = watch(capsys, monkeypatch, empty)
    assert status == 3 and "mlops-course simulate" in printed.err
    log = tmp_path / "lone.db"
    PredictionLog(log).close()
    assert watch(capsys, monkeypatch, empty, "--log", log)[0] == 3
    labels.begin(labels.beside(log))
    status, printed = watch(capsys, monkeypatch, empty, "--log", log)
    assert status == 3 and "announces no flight" in printed.err


def test_monitor_when_no_rule_can_tell_about_the_latest_window_then_could_not_judge(
    capsys, monkeypatch, watched, tmp_path
):
    rule = '[[rule]]\nname = "{}"\nfigure = "called_late"\nabove = 0.9\nmin_sample = {}\n'
    owned = 'owner = "x"\nrunbook = "y"\n'
    blind = rule.format("blind", 10**9) + owned
    path = tmp_path / "rules.toml"
    path.write_text(blind)
    status, printed = watch(capsys, monkeypatch, watched, "--rules", path)
    assert status == 3 and "No rule can tell now." in printed.out
    path.write_text(blind + rule.format("seeing", 1) + owned)
    status, printed = watch(capsys, monkeypatch, watched, "--rules", path)
    assert status == 0 and "No rule fires now." in printed.out
