"""Notebooks that share a workspace: each gives its stored outputs, whatever was run before."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_runs import nbval

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
CLOSE = "_ = lesson.close()"


def start_of(number):
    ready = new_output("stream", name="stdout", text=f"Lesson {number} is ready.\n")
    return new_code_cell(START.format(number), execution_count=1, outputs=[ready])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two small lessons with the outputs they must have; the second needs the first."""
    place = tmp_path_factory.mktemp("lessons")
    leaves = new_code_cell(LEAVE, execution_count=2, metadata={"tags": ["leaves"]})
    close = new_code_cell(CLOSE, execution_count=3)
    seen = new_output("execute_result", data={"text/plain": "[0.5]"}, execution_count=2)
    look = new_code_cell(LOOK, execution_count=2, outputs=[seen])
    lessons = {
        "01_leaves.ipynb": [start_of("01"), leaves, close],
        "02_looks.ipynb": [start_of("02"), look],
    }
    for name, cells in lessons.items():
        nbformat.write(new_notebook(cells=cells), place / name)
    return place


@pytest.mark.parametrize("first", ["01_leaves.ipynb", "02_looks.ipynb"])
def test_lessons_when_in_one_workspace_then_nbval_finds_the_stored_outputs_in_any_order(
    folder, first, template_cache
):
    paths = sorted(folder.glob("*.ipynb"), key=lambda path: path.name != first)
    assert paths[0].name == first and len(paths) == 2
    found = nbval(paths, template_cache)
    assert found.status == 0 and "5 passed" in found.said, found.said
