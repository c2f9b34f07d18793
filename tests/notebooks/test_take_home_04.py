"""The promotion that lesson 04 gives away, run for real in a place without the course's package."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from plain import plain_environment

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SCRIPT = NOTEBOOKS / "04_promote.py"
LESSON = NOTEBOOKS / "04_the_model_registry.ipynb"
NAME = "delays"
DONE, REFUSED, MISUSED, COULD_NOT_JUDGE = 0, 1, 2, 3
COLUMNS = ["--time", "day", "--target", "late"]

# Registers four versions as somebody would who has never heard of the course.
REGISTER = """
import mlflow, pandas as pd
from sklearn.tree import DecisionTreeClassifier
rows = pd.read_csv("learned.csv")
client = mlflow.MlflowClient()
client.create_registered_model("delays", {"licence": "CC0"}, "Late or not?")
mlflow.set_experiment("delays")
kinds = {"good": rows, "as good": rows, "backwards": rows.assign(late=1 - rows["late"])}
kinds["bad at B"] = rows.assign(late=rows["late"].where(rows["port"] == 0, 1 - rows["late"]))
for name, part in kinds.items():
    with mlflow.start_run(run_name=name) as run:
        data = mlflow.data.from_pandas(part, source="learned.csv", name=name.replace(" ", "-"))
        mlflow.log_input(data, "training")
        model = DecisionTreeClassifier(max_depth=4, random_state=len(name))
        model.fit(part[["delay", "port"]], part["late"])
        made = mlflow.sklearn.log_model(
            model, name="model", serialization_format="skops", pip_requirements=["scikit-learn"]
        )
    client.create_model_version("delays", made.model_uri, run.info.run_id, description=name)
"""


def table(seed, days=14, rows=300):
    """Return labelled rows: what leaves late arrives late, nine times in ten."""
    lot = np.random.default_rng(seed)
    day = np.repeat(pd.date_range("2024-03-01", periods=days), rows)
    delay = lot.normal(10, 20, len(day)).round(1)
    late = (delay > 15) ^ (lot.random(len(day)) < 0.1)
    port = lot.integers(2, size=len(day))
    columns = {"day": day, "delay": delay, "port": port, "late": late.astype(float)}
    return pd.DataFrame(columns).assign(airport=np.where(port == 0, "A", "B"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder with the script, four registered versions, and a table to judge on."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copy(SCRIPT, folder)
    table(0).to_csv(folder / "learned.csv", index=False)
    table(1).to_csv(folder / "exam.csv", index=False)
    run_python(folder, "-c", REGISTER)
    return folder


@pytest.fixture
def folder(place, tmp_path):
    """A copy of that folder; the store's files stay where they are."""
    return shutil.copytree(place, tmp_path / "copy")


def run_python(folder, *words):
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    surroundings = plain_environment(folder / "no course", MLFLOW_TRACKING_URI=uri)
    for alien in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID"):  # MLflow has put them there
        surroundings.pop(alien, None)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def promote(folder, version, *more, exam="exam.csv", reason="better"):
    words = ["promote", NAME, version, "--exam", exam, *COLUMNS, "--slices", "airport"]
    return run_python(folder, SCRIPT.name, *words, "--reason", reason, "--who", "Ada", *more)


def roll_back(folder, reason="worse"):
    return run_python(folder, SCRIPT.name, "rollback", NAME, "--reason", reason, "--who", "Bo")


def client_of(folder):
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def champion(folder):
    return str(client_of(folder).get_registered_model(NAME).aliases.get("champion", ""))


def test_script_when_read_then_needs_nothing_of_the_course():
    assert "mlops_course" not in SCRIPT.read_text(encoding="utf-8")
    assert os.environ.get("PYTHONPATH") != ""


def test_script_when_versions_follow_each_other_then_reason_evidence_and_card_are_kept(folder):
    first = promote(folder, "1")
    assert first.returncode == DONE, first.stdout + first.stderr
    assert "of the commonest answer" in first.stdout and "Version 1 is champion" in first.stdout
    second = promote(folder, "2", reason="a newer seed")
    assert second.returncode == DONE and "of version 1" in second.stdout
    client = client_of(folder)
    kept = client.get_model_version(NAME, "2")
    assert kept.tags["promotion.reason"] == "a newer seed" and kept.tags["promotion.who"] == "Ada"
    assert kept.tags["validation_status"] == "passed" and kept.tags["promotion.over"] == "1"
    evidence = json.loads(Path(client.download_artifacts(kept.run_id, "gate.json")).read_text())
    assert [one["name"] for one in evidence["checks"]] == ["overall", "airport A", "airport B"]
    assert evidence["exam"] == kept.tags["promotion.exam"] and len(evidence["exam"]) == 12
    card = Path(client.download_artifacts(kept.run_id, "model_card.md")).read_text()
    for said in (
        *("# Model card: delays, version 2", "Late or not?", "as-good, fingerprint"),
        *(f"exam {evidence['exam']}", "**Decided by**: Ada", "**Because**: a newer seed"),
        *("**Limits**: not stated", "**Licence**: CC0", "| airport B | pass | Accuracy 0."),
    ):
        assert said in card, said
    told = run_python(folder, SCRIPT.name, "log", NAME).stdout.splitlines()
    assert [line[:12] for line in told] == [
        *('1 - {"promot', "2 champion {", "3 - {}", "4 - {}"),
    ]


def test_script_when_the_exam_is_another_file_then_its_fingerprint_is_another(folder):
    promote(folder, "1")
    table(2).to_csv(folder / "other.csv", index=False)
    promote(folder, "2", exam="other.csv")
    client = client_of(folder)
    exams = {client.get_model_version(NAME, one).tags["promotion.exam"] for one in "12"}
    assert len(exams) == 2


@pytest.mark.parametrize(
    ("version", "said"), [("3", "FAILED Accuracy 0.1"), ("4", "FAILED Accuracy 0.1")]
)
def test_script_when_a_version_is_worse_overall_or_in_a_slice_then_refuses_and_nothing_moves(
    folder, version, said
):
    promote(folder, "1")
    refused = promote(folder, version)
    assert refused.returncode == REFUSED and said in refused.stdout
    assert f"Version {version} was not promoted." in refused.stdout
    assert champion(folder) == "1"
    assert not client_of(folder).get_model_version(NAME, version).tags


def test_script_when_the_reason_is_empty_or_it_is_champion_already_then_refuses(folder):
    assert promote(folder, "1", reason=" ").returncode == REFUSED and champion(folder) == ""
    assert promote(folder, "1").returncode == DONE
    again = promote(folder, "1")
    assert again.returncode == REFUSED and "champion already" in again.stdout


def test_script_when_rolled_back_twice_then_goes_no_way_that_it_has_fled_from(folder):
    promote(folder, "1")
    promote(folder, "2")
    back = roll_back(folder)
    assert back.returncode == DONE and "Version 1 is champion again" in back.stdout
    assert client_of(folder).get_model_version(NAME, "2").tags["rollback.reason"] == "worse"
    assert roll_back(folder).returncode == REFUSED and champion(folder) == "1"
    promote(folder, "2")
    promote(folder, "1")
    assert roll_back(folder).returncode == DONE and champion(folder) == "2"
    refused = roll_back(folder)
    assert refused.returncode == REFUSED and "rolled back" in refused.stdout
    assert champion(folder) == "2"


def test_script_when_it_cannot_judge_then_says_why_and_nothing_moves(folder):
    table(1, days=3).to_csv(folder / "short.csv", index=False)
    table(1).drop(columns="delay").to_csv(folder / "poor.csv", index=False)
    table(1).drop(columns="airport").to_csv(folder / "whole.csv", index=False)
    table(1).assign(late=2).to_csv(folder / "odd.csv", index=False)
    for exam, said in {
        "short.csv": "900 labelled rows of 3 days",
        "poor.csv": "asks for delay",
        "whole.csv": "no column airport",
        "odd.csv": "neither 0 nor 1",
        "none.csv": "cannot be read",
    }.items():
        done = promote(folder, "1", exam=exam)
        assert done.returncode == COULD_NOT_JUDGE and said in done.stdout, done.stdout
    missing = promote(folder, "9")
    assert missing.returncode == COULD_NOT_JUDGE and "not found" in missing.stdout
    assert run_python(folder, SCRIPT.name, "promote", NAME).returncode == MISUSED
    assert champion(folder) == ""


def test_functions_when_shown_in_the_lesson_then_stand_in_the_script_like_that():
    script = SCRIPT.read_text(encoding="utf-8")
    cells = nbformat.read(LESSON, as_version=4).cells
    shown = [cell.source for cell in cells if cell.cell_type == "code"]
    functions = re.compile(r"^def (promote|roll_back)\(client, .*", re.MULTILINE)
    found = [source for source in shown if functions.match(source)]
    assert len(found) == 2
    for source in found:
        assert source.strip() + "\n" in script
