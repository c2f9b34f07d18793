"""Notebooks that share a workspace: each gives its stored outputs, whatever was run before."""

import executor
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from notebook_runs import nbval_in_turn

START = """\
from pathlib import Path
from mlops_course.course import lessons

lessons.NOTEBOOKS = Path.cwd()
lesson = lessons.start("{}")"""
LEAVE = """\
import mlflow

with mlflow.start_run(run_name="left"):
    mlflow.log_metric("accuracy", 0.5)"""
LOOK = """\
import mlflow

mlflow.search_runs(experiment_names=["lesson-01"])["metrics.accuracy"].tolist()[:1]"""
CLOSE = "lesson.close()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two small lessons, each executed in a workspace of its own; the second needs the first."""
    place = tmp_path_factory.mktemp("lessons")
    leaves = new_code_cell(LEAVE, metadata={"tags": ["leaves"]})
    lessons = {
        "01_leaves.ipynb": [new_code_cell(START.format("01")), leaves, new_code_cell(CLOSE)],
        "02_looks.ipynb": [new_code_cell(START.format("02")), new_code_cell(LOOK)],
    }
    for name, cells in lessons.items():
        nbformat.write(new_notebook(cells=cells), place / name)
    assert executor.main(["--execute", "--folder", str(place)]) == 0
    return place


@pytest.mark.parametrize("first", ["01_leaves.ipynb", "02_looks.ipynb"])
def test_lessons_when_in_one_workspace_then_nbval_finds_the_stored_outputs_in_any_order(
    folder, first, template_cache
):
    paths = sorted(folder.glob("*.ipynb"), key=lambda path: path.name != first)
    assert paths[0].name == first and len(paths) == 2
    found = nbval_in_turn(paths, template_cache)
    assert found.status == 0 and "5 passed" in found.said, found.said
