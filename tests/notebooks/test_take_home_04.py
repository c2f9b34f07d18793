"""The promotion that lesson 04 gives away, run for real in a place without the course's package."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import mlflow
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
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
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
        steps = (PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=len(name)))
        model = make_pipeline(*steps).fit(part[["delay", "port"]], part["late"])
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
def folder(place, tmp_path, monkeypatch):
    """A copy of that folder, where this process works, too; the models stay where they are."""
    copy = shutil.copytree(place, tmp_path / "copy")
    monkeypatch.chdir(copy)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(f"sqlite:///{copy / 'mlflow.db'}")
    mlflow.set_registry_uri(f"sqlite:///{copy / 'mlflow.db'}")
    yield copy
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


@pytest.fixture
def call(folder, capsys):
    """Return a function that calls the script in this process, which saves two seconds each."""
    main = run_path(str(SCRIPT))["main"]

    def do(*words):
        capsys.readouterr()
        return main(words), capsys.readouterr().out

    return do


@pytest.fixture
def promote(call):
    def do(version, exam="exam.csv", reason="better"):
        return call(*promotion(version, exam, reason))

    return do


@pytest.fixture
def roll_back(call):
    return lambda: call("rollback", NAME, "--reason", "worse", "--who", "Bo")


def promotion(version, exam="exam.csv", reason="better"):
    words = ["promote", NAME, version, "--exam", exam, *COLUMNS, "--slices", "airport"]
    return [*words, "--reason", reason, "--who", "Ada"]


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


def client_of(folder):
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def champion(folder):
    return str(client_of(folder).get_registered_model(NAME).aliases.get("champion", ""))


def test_script_when_read_then_needs_nothing_of_the_course():
    assert "mlops_course" not in SCRIPT.read_text(encoding="utf-8")


def test_script_when_run_without_the_course_then_reason_evidence_and_card_are_kept(
    folder, roll_back
):
    first = run_python(folder, SCRIPT.name, *promotion("1"))
    assert first.returncode == DONE, first.stdout + first.stderr
    assert "of the commonest answer" in first.stdout and "Version 1 is champion" in first.stdout
    second = run_python(folder, SCRIPT.name, *promotion("2", reason="a newer seed"))
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
    status, told = roll_back()
    assert status == DONE and "Version 1 is champion again" in told


def test_script_when_it_lists_the_versions_then_says_what_their_tags_say(promote, call):
    promote("1")
    promote("2")
    status, told = call("log", NAME)
    assert status == DONE
    one, two, three, _ = told.splitlines()
    assert one.startswith('1 - {"promotion.exam"') and three == "3 - {}"
    assert two.startswith("2 champion {") and '"promotion.over": "1"' in two


def test_script_when_the_exam_is_another_file_then_its_fingerprint_is_another(folder, promote):
    table(2).to_csv(folder / "other.csv", index=False)
    promote("1")
    promote("2", exam="other.csv")
    client = client_of(folder)
    exams = {client.get_model_version(NAME, one).tags["promotion.exam"] for one in "12"}
    assert len(exams) == 2


@pytest.mark.parametrize(
    ("version", "said"),
    [("3", "overall, FAILED. Accuracy 0.1"), ("4", "airport B, FAILED. Accuracy 0.0")],
)
def test_script_when_a_version_is_worse_overall_or_in_a_slice_then_refuses_and_nothing_moves(
    folder, promote, version, said
):
    promote("1")
    status, told = promote(version)
    assert status == REFUSED and said in told, told
    assert f"Version {version} was not promoted." in told
    assert champion(folder) == "1"
    assert not client_of(folder).get_model_version(NAME, version).tags


def test_script_when_the_reason_is_empty_or_it_is_champion_already_then_refuses(folder, promote):
    status, told = promote("1", reason=" ")
    assert status == REFUSED and "reason: ' '" in told and champion(folder) == ""
    assert promote("1")[0] == DONE
    status, told = promote("1")
    assert status == REFUSED and "champion already" in told


def test_script_when_rolled_back_twice_then_goes_no_way_that_it_has_fled_from(
    folder, promote, roll_back
):
    promote("1")
    promote("2")
    status, told = roll_back()
    assert status == DONE and "Version 1 is champion again" in told
    assert client_of(folder).get_model_version(NAME, "2").tags["rollback.reason"] == "worse"
    assert roll_back()[0] == REFUSED and champion(folder) == "1"
    promote("2")
    promote("1")
    assert roll_back()[0] == DONE and champion(folder) == "2"
    status, told = roll_back()
    assert status == REFUSED and "rolled back" in told
    assert champion(folder) == "2"


def test_script_when_a_slice_is_too_small_to_judge_then_output_and_card_say_so(folder, promote):
    rows = table(1)
    rows.loc[rows.groupby("day").head(10).index, "airport"] = "C"
    rows.to_csv(folder / "other.csv", index=False)
    status, told = promote("1", exam="other.csv")
    assert status == DONE and "airport C, 140 rows: too few to judge." in told
    client = client_of(folder)
    run = client.get_model_version(NAME, "1").run_id
    card = Path(client.download_artifacts(run, "model_card.md")).read_text()
    assert "**Not judged, too small**: airport C, 140 rows" in card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[rows["day"] < "2024-03-04"], "900 labelled rows of 3 days"),
        (lambda rows: rows.drop(columns="delay"), "asks for delay"),
        (lambda rows: rows.drop(columns="airport"), "no column airport"),
        (lambda rows: rows.drop(columns="late"), "no column 'late'"),
        (lambda rows: rows.assign(late=2), "neither 0 nor 1"),
        (lambda rows: rows.assign(delay="soon"), "cannot answer these rows"),
        (lambda rows: rows.assign(day="some day"), "cannot be read"),
    ],
)
def test_script_when_it_cannot_judge_then_says_why_and_nothing_moves(folder, promote, change, said):
    change(table(1)).to_csv(folder / "other.csv", index=False)
    status, told = promote("1", exam="other.csv")
    assert status == COULD_NOT_JUDGE and said in told, told
    assert champion(folder) == ""


def test_script_when_called_for_what_is_not_there_then_says_so(folder, promote, roll_back, call):
    assert promote("9")[0] == COULD_NOT_JUDGE
    assert promote("1", exam="none.csv")[0] == COULD_NOT_JUDGE
    status, told = roll_back()
    assert status == COULD_NOT_JUDGE and "champion not found" in told
    with pytest.raises(SystemExit) as ended:
        call("promote", NAME)
    assert ended.value.code == MISUSED


def test_functions_when_shown_in_the_lesson_then_stand_in_the_script_like_that():
    script = SCRIPT.read_text(encoding="utf-8")
    cells = nbformat.read(LESSON, as_version=4).cells
    shown = [cell.source for cell in cells if cell.cell_type == "code"]
    functions = re.compile(r"^def (promote|roll_back)\(client, .*", re.MULTILINE)
    found = [source for source in shown if functions.match(source)]
    assert len(found) == 2
    for source in found:
        assert source.strip() + "\n" in script
