"""The files beside the notebooks work as they are, in a folder of their own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import httpx
import nbformat
import numpy as np
import pandas as pd
import pytest
from plain import plain_environment

from mlops_course.alerting.rules import MIN_LABELLED_SHARE
from mlops_course.monitoring.figures import FIGURES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# 05_app.py loads a model as it is imported: its own tests start it.
PROGRAMS = sorted(path for path in NOTEBOOKS.glob("*.py") if path.name != "05_app.py")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_program_when_loaded_where_there_is_no_course_then_misses_nothing(path, tmp_path):
    load = "import runpy, sys; runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", load, path]
    surroundings = plain_environment(tmp_path / "plain")
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_place_when_it_is_plain_then_the_course_cannot_be_imported_there(tmp_path):
    command = [sys.executable, "-c", "import mlops_course"]
    surroundings = plain_environment(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert "This place has no mlops_course" in done.stderr


@pytest.fixture
def receiver():
    made = run_path(str(NOTEBOOKS / "07_receiver.py"))["Receiver"](refusals=1).start()
    yield made
    made.shutdown()
    made.server_close()


def test_receiver_when_a_message_comes_twice_then_is_kept_once(receiver):
    first, second = ({"Idempotency-Key": name} for name in ("one", "two"))
    answers = [
        httpx.post(receiver.url, json={"text": "a"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "a"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "changed"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "b"}, headers=second).status_code,
    ]
    assert answers == [500, 200, 200, 200]
    assert receiver.taken == {"one": {"text": "a"}, "two": {"text": "b"}}
    assert httpx.URL(receiver.url).host == "127.0.0.1"


def test_receiver_when_run_by_itself_then_says_where_it_listens(tmp_path):
    shutil.copy(NOTEBOOKS / "07_receiver.py", tmp_path)
    with subprocess.Popen(
        [sys.executable, "07_receiver.py", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            url = program.stdout.readline().strip()
            answer = httpx.post(url, json={}, headers={"Idempotency-Key": "one"})
            assert answer.status_code == 200
        finally:
            program.kill()


@pytest.fixture(scope="module")
def wall():
    return run_path(str(NOTEBOOKS / "07_dashboard.py"))


@pytest.fixture(scope="module")
def rules(wall):
    return wall["rules_of"](NOTEBOOKS / "07_rules.toml")


@pytest.fixture
def figures(wall, rules):
    """Sixty days on which nothing is wrong and all labels are in."""
    fine = {"labelled_share": 1.0}
    for _, column, name in wall["PANELS"]:
        rule = rules.get(name, {})
        fine.setdefault(
            column, rule["below"] * 1.1 if "below" in rule else rule.get("above", 9) / 2
        )
    return pd.DataFrame(fine, index=pd.date_range("2024-01-01", periods=60))


def titles(drawing):
    return {axis.get_title().split(":")[0]: axis.get_title() for axis in drawing.axes}


def test_dashboard_when_given_a_table_then_draws_what_is_wrong_and_stays_small(
    wall, rules, figures, tmp_path
):
    for name in ("07_dashboard.py", "07_rules.toml"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    figures.loc[figures.index[10:13], "unanswered_share"] = 1.0
    figures.loc[figures.index[20], "missing_share"] = np.nan
    figures.to_csv(tmp_path / "figures.csv")
    words = ["07_dashboard.py", "figures.csv", "07_rules.toml", "dashboard.png"]
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    assert 20_000 < (tmp_path / "dashboard.png").stat().st_size < 1_000_000
    found = titles(wall["draw"](figures, rules))
    assert len(found) == 8
    assert found.pop("Flights unanswered") == "Flights unanswered: 3 days wrong"
    assert found.pop("Answers with a label") == "Answers with a label: 1 on 29 Feb"
    assert found.pop("Minutes lost, 1,000 flights") == "Minutes lost, 1,000 flights: 4.5 on 29 Feb"
    assert all(title.endswith(": fine") for title in found.values())


def test_dashboard_when_the_rules_change_then_so_do_its_limits(wall, rules, figures):
    figures["unsure_share"] = 0.3
    stricter = rules | {"the model is unsure": {"above": 0.25}}
    panel = "Flights the model is unsure of"
    assert wall["counted"](figures, rules).loc[panel].tolist() == [0.40, 0, 60]
    assert wall["counted"](figures, stricter).loc[panel].tolist() == [0.25, 60, 60]
    assert titles(wall["draw"](figures, stricter))[panel].endswith("60 days wrong")


def test_dashboard_when_a_limit_is_drawn_then_its_rule_watches_that_figure_by_day(wall, rules):
    for _, column, name in wall["PANELS"]:
        if name is None:
            by_day = [one for one in rules.values() if one["window"] == "1 day"]
            assert column not in [one["figure"] for one in by_day], column
        else:
            assert (rules[name]["figure"], rules[name]["window"]) == (column, "1 day")


def test_dashboard_when_labels_are_not_in_then_what_needs_them_is_left_out(wall, rules, figures):
    figures.loc[figures.index[-2:], "labelled_share"] = [0.96, 0.94]
    figures.loc[figures.index[-2:], "burn_rate"] = 9.0
    counted = wall["counted"](figures, rules)
    assert counted.loc["Burn rate of the budget"].tolist() == [4.0, 1, 59]
    assert counted.loc["Minutes lost, 1,000 flights", "days"] == 59
    assert counted.loc["Flights unanswered", "days"] == 60
    shown = wall["shown"](figures)
    assert shown["labelled_share"].iloc[-1] == 0.94 and figures["burn_rate"].iloc[-1] == 9
    needing = {column for column in figures if FIGURES[column].needs_labels}
    assert needing == set(wall["NEED_LABELS"]) and wall["ENOUGH_LABELS"] == MIN_LABELLED_SHARE


def test_excerpts_when_shown_in_lesson_07_then_stand_in_the_files_like_that():
    cells = nbformat.read(NOTEBOOKS / "07_monitoring.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    files = {
        kind: "\n".join(
            path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob(f"07_*.{ending}")
        )
        for kind, ending in {"toml": "toml", "yaml": "yml"}.items()
    }
    excerpts = re.findall(r"```(toml|yaml)\n(.*?)```", text, re.DOTALL)
    assert [kind for kind, _ in excerpts] == ["toml", "yaml", "yaml"]
    for kind, excerpt in excerpts:
        for part in excerpt.split("# ...\n"):
            assert part in files[kind], part
