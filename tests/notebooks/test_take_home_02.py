"""The script that lesson 02 gives away, run for real: in a git folder of its own, on a server."""

import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import httpx
import nbformat
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from plain import plain_environment

from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.data.flights import fingerprint, load_flights

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SCRIPT = NOTEBOOKS / "02_track.py"
CALL = ["02_track.py", "rows.parquet", "--time", "date", "--target", "late", "--trees", "30"]
# Loads a model by its address and lets it answer flights that carry words, codes unknown to it.
ASKING = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pd.read_parquet("rows.parquet").drop(columns=["date", "late"]).head(3)
rows = rows.astype({name: str for name in ("carrier", "origin", "dest")})
rows.loc[rows.index[0], "carrier"] = "never seen"
print(json.dumps([model.metadata.metadata["vocabulary"], model.predict(rows).tolist()]))
"""


def git(folder, *words):
    you = ["-c", "user.name=you", "-c", "user.email=you@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *you, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def rows(shared_workspace):
    flights = load_flights(shared_workspace, "2013-01-01", "2013-02-28")
    return flights[["date", *FEATURES, "late"]].sample(4_000, random_state=0)


@pytest.fixture(scope="module")
def project(tmp_path_factory, rows):
    """A folder under git with the script and a table, and what one run in it left and said."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(SCRIPT, folder)
    rows.to_parquet(folder / "rows.parquet")
    (folder / ".gitignore").write_text("rows.parquet\nmlflow.db\nmlruns/\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "A training")
    surroundings = plain_environment(folder.parent / "plain")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        surroundings.pop(name, None)

    def python(*words, **more):
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=surroundings | more,
            capture_output=True,
            text=True,
        )

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    said = python(*CALL)
    assert said.returncode == 0, said.stderr
    return SimpleNamespace(folder=folder, python=python, client=client, said=said.stdout)


def newest(client):
    experiment = client.get_experiment_by_name("late-flights")
    return client.search_runs([experiment.experiment_id], max_results=1)[0]


@pytest.fixture(scope="module")
def run(project):
    return newest(project.client)


def blocks(words):
    """The commands of the lesson that have these words, from its texts."""
    cells = nbformat.read(NOTEBOOKS / "02_experiment_tracking.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [line for line in text.splitlines() if words in line and not line.startswith("`")]


def test_script_when_run_in_a_clean_commit_then_the_record_names_code_data_and_environment(
    project, rows, run
):
    assert "loaded from the record" in project.said and "the same: yes" in project.said
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == git(project.folder, "rev-parse", "HEAD")
    assert tags["git.dirty"] == "no"
    assert {"environment.scikit-learn", "environment.python"} <= set(tags)
    learned = rows[rows["late"].notna() & (rows["date"] <= "2013-01-31")]
    (given,) = run.inputs.dataset_inputs
    stored = pd.read_parquet(project.folder / "rows.parquet").loc[learned.index]
    assert tags["dataset_version"] == given.dataset.digest == fingerprint(stored)
    assert run.data.params["rows"] == str(len(learned))


def test_script_when_it_logs_then_digests_are_tags_and_the_loss_is_a_curve(project, run):
    chosen = {"learning_rate", "max_iter", "seed", "days", "time", "target"}
    assert set(run.data.params) == chosen | {"rows"}
    curve = project.client.get_metric_history(run.info.run_id, "log_loss")
    assert [point.step for point in curve] == [10, 20, 30]
    assert curve[0].value > curve[-1].value > 0.1
    names = [file.path for file in project.client.list_artifacts(run.info.run_id)]
    assert "log_loss.png" in names


def test_script_when_the_model_is_loaded_elsewhere_then_takes_words_and_pins_what_it_needs(
    project, rows, run
):
    (logged,) = project.client.search_logged_models([run.info.experiment_id])
    said = project.python("-c", ASKING, logged.model_uri)
    assert said.returncode == 0, said.stderr
    vocabulary, answers = json.loads(said.stdout)
    assert set(vocabulary) == set(CATEGORICAL)
    assert vocabulary["origin"] == ["EWR", "JFK", "LGA"]
    assert np.shape(answers) == (3, 2) and np.allclose(np.sum(answers, axis=1), 1)
    (needs,) = project.folder.glob("mlruns/**/requirements.txt")
    assert {line.partition("==")[0] for line in needs.read_text().split()} >= {
        "scikit-learn",
        "skops",
    }
    assert all("==" in line for line in needs.read_text().split())


def test_script_when_code_or_data_change_then_the_record_says_so_and_a_false_model_is_told(
    project, rows, run
):
    script = project.folder / "02_track.py"
    kept = script.read_text(encoding="utf-8")
    asked = "again.predict(rows), model.predict_proba(rows)"
    assert asked in kept
    turned = rows.copy()
    turned["late"] = turned["late"].mask(
        turned.index == turned["date"].idxmin(), 1 - turned["late"]
    )
    try:
        script.write_text(kept.replace(asked, f"1 - {asked}"), encoding="utf-8")
        turned.to_parquet(project.folder / "rows.parquet")
        said = project.python(*CALL)
    finally:
        script.write_text(kept, encoding="utf-8")
        rows.to_parquet(project.folder / "rows.parquet")
    assert said.returncode == 1 and "the same: NO" in said.stdout
    second = newest(project.client)
    assert second.info.run_id != run.info.run_id
    assert second.data.tags["git.dirty"] == "yes"
    assert second.data.tags["dataset_version"] != run.data.tags["dataset_version"]


@pytest.fixture
def server(project):
    """The lesson's tracking server, by the lesson's own words, on a free port."""
    (command,) = blocks("mlflow server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(command.replace("5000", str(port)).replace("mlflow.db", "team.db"))
    quiet = plain_environment(
        project.folder.parent / "plain", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
    )
    with subprocess.Popen(
        [sys.executable, "-m", *words, "--workers", "1"],
        cwd=project.folder,
        env=quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield wait_for(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()


def wait_for(address, process):
    for _ in range(600):
        assert process.poll() is None, "the server has ended"
        try:
            if httpx.get(f"{address}/health").is_success:
                return address
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def command_of(run):
    """The command line that repeats a run, from its record alone."""
    said = run.data.params
    (given,) = run.inputs.dataset_inputs
    words = ["--time", said["time"], "--target", said["target"], "--days", said["days"]]
    words += ["--rate", said["learning_rate"], "--trees", said["max_iter"], "--seed", said["seed"]]
    return ["02_track.py", given.dataset.name, *words]


def test_script_when_repeated_from_its_record_on_a_server_then_only_the_address_changes(
    project, run, server
):
    said = project.python(*command_of(run), MLFLOW_TRACKING_URI=server)
    assert "the same: yes" in said.stdout, said.stderr
    there = newest(MlflowClient(server))
    assert (there.data.metrics, there.data.params) == (run.data.metrics, run.data.params)
    assert there.data.tags["dataset_version"] == run.data.tags["dataset_version"]
    assert there.data.tags["git.dirty"] in ("yes", "no")
    assert list((project.folder / "artifacts").glob("**/log_loss.png"))


def test_gc_when_called_as_the_lesson_says_then_runs_younger_than_its_margin_stay(project, run):
    (command,) = blocks("mlflow gc --backend")
    address, _, *words = shlex.split(command)
    name, _, value = address.partition("=")
    project.client.delete_run(run.info.run_id)
    try:
        said = project.python("-m", "mlflow", *words, **{name: value})
        assert said.returncode == 0, said.stderr
        assert project.client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    finally:
        project.client.restore_run(run.info.run_id)


def test_origin_when_outside_a_repository_then_says_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = run_path(str(SCRIPT))["origin"]()
    assert tags["mlflow.source.git.commit"] == tags["git.dirty"] == "unknown"


@pytest.mark.parametrize("columns", [["dep_delay", "hour"], ["carrier", "dest"]])
def test_model_when_a_table_has_only_numbers_or_only_words_then_is_fitted(rows, columns):
    plain = run_path(str(SCRIPT))
    known = rows.loc[rows["late"].notna(), ["date", "late", *columns]]
    options = SimpleNamespace(time="date", target="late", rate=0.1, trees=20, seed=0)
    model = plain["fit"](known, options)
    assert list(plain["losses"](model, known, options)) == [10, 20]
    words = [name for name in columns if name in CATEGORICAL]
    assert list(plain["vocabulary_of"](model)) == words


@pytest.mark.parametrize(("trees", "steps"), [(5, [5]), (20, [10, 20]), (25, [10, 20, 25])])
def test_losses_when_trees_are_few_or_odd_then_the_curve_ends_with_the_last(rows, trees, steps):
    plain = run_path(str(SCRIPT))
    known = rows.loc[rows["late"].notna(), ["date", "late", "dep_delay"]]
    options = SimpleNamespace(time="date", target="late", rate=0.1, trees=trees, seed=0)
    curve = plain["losses"](plain["fit"](known, options), known, options)
    assert list(curve) == steps
    (axes,) = plain["drawn"](curve).axes
    assert axes.get_title() == f"Lowest after {min(curve, key=curve.get)} trees"
