"""Widgets in a notebook that a learner saved, when it is opened after the kernel has ended."""

import json
from copy import deepcopy
from types import SimpleNamespace

import nbformat
import pytest
from lab import KERNEL_IS_IDLE, running_lab
from nbformat.v4 import new_code_cell, new_notebook

from mlops_course.cli import saved_widgets
from mlops_course.cli.saved_widgets import STATE, VIEW, before_saving, complete

BOX = {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_b1"], "layout": None}}
BUTTON = {"model_name": "ButtonModel", "state": {"description": "1. yes"}}
MODELS = {"a1": BOX, "b1": BUTTON}

RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
QUESTION = """\
from mlops_course.course.exercises import Question

choices = ({"text": "yes", "feedback": "It is."}, {"text": "no", "feedback": "Count again."})
Question("99.a", "Is 2 < 3?", choices, 1)"""


def notebook(models=(), view="a1", **others):
    """A notebook's JSON: one cell that shows a widget, and the models saved with it."""
    data = {VIEW: {"model_id": view}, "text/html": "Is 2 &lt; 3?", **others}
    cells = [{"cell_type": "code", "outputs": [{"output_type": "execute_result", "data": data}]}]
    state = {"version_major": 2, "version_minor": 0, "state": dict(models)}
    return {"cells": cells, "metadata": {"widgets": {STATE: state}}}


def shown(book):
    return book["cells"][0]["outputs"][0]["data"]


def models(book):
    return book["metadata"]["widgets"][STATE]["state"]


def test_saving_when_all_models_are_there_then_changes_nothing():
    book = notebook(MODELS)
    complete(book, notebook({"a1": BUTTON}))
    assert book == notebook(MODELS)


def test_saving_when_the_kernel_has_ended_then_the_models_saved_before_stay():
    book = notebook()
    complete(book, notebook(MODELS))
    assert book == notebook(MODELS)


def test_saving_when_no_model_is_left_then_what_is_stored_beside_the_widget_is_shown():
    book = notebook()
    complete(book, {})
    assert shown(book) == {"text/html": "Is 2 &lt; 3?"}


def test_saving_when_a_widget_is_all_there_is_then_it_stays():
    book = notebook()
    del shown(book)["text/html"]
    complete(book, {})
    assert shown(book) == {VIEW: {"model_id": "a1"}}


def test_saving_when_models_are_shown_nowhere_then_they_are_left_out():
    book = notebook({**MODELS, "c1": BUTTON})
    complete(book, notebook({"d1": BUTTON}))
    assert models(book) == MODELS


def test_saving_when_there_is_no_widget_then_changes_nothing():
    book = {"cells": [{"cell_type": "markdown", "source": "Text."}], "metadata": {}}
    before = deepcopy(book)
    complete(book, notebook(MODELS))
    assert book == before


@pytest.mark.parametrize("former", [None, "{cut off", json.dumps(notebook(MODELS))])
def test_server_when_it_saves_then_the_file_on_disk_is_the_former_version(tmp_path, former):
    (tmp_path / "lessons").mkdir()
    if former:
        (tmp_path / "lessons" / "x.ipynb").write_text(former, encoding="utf-8")
    manager = SimpleNamespace(root_dir=str(tmp_path))
    model = {"type": "notebook", "content": notebook()}
    before_saving(model=model, path="lessons/x.ipynb", contents_manager=manager)
    assert models(model["content"]) == (MODELS if former and former[-1] == "}" else {})


def test_server_when_it_saves_something_else_then_leaves_it_alone(tmp_path):
    manager = SimpleNamespace(root_dir=str(tmp_path))
    model = {"type": "file", "content": "text"}
    before_saving(model=model, path="notes.txt", contents_manager=manager)
    assert model == {"type": "file", "content": "text"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a notebook that asks a question and has not been run."""
    folder = tmp_path_factory.mktemp("notebooks")
    book = new_notebook(cells=[new_code_cell(QUESTION)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, folder / "question.ipynb")
    nothing = tmp_path_factory.mktemp("cache")
    with running_lab(tmp_path_factory.mktemp("lab"), folder, nothing) as started:
        yield started


@pytest.fixture
def opened(browser, lab):
    """Return a function that opens the notebook in a page of its own, its kernel idle."""
    pages = []

    def open_page():
        page = browser.new_page()
        pages.append(page)
        page.set_default_timeout(60_000)
        page.goto(lab.address("question.ipynb"))
        page.wait_for_function(KERNEL_IS_IDLE)
        return page

    yield open_page
    for page in pages:
        page.close()


def output(page):
    return page.locator(".jp-OutputArea").first


@pytest.mark.browser
def test_notebook_when_opened_after_its_kernel_has_ended_then_shows_the_answered_question(
    opened, lab
):
    page = opened()
    page.evaluate(RUN_ALL)
    page.get_by_role("button", name="2. no").click()
    output(page).get_by_text("Count again.").wait_for()
    page.evaluate(SAVE)
    for _ in range(2):
        page.close()
        lab.shut_kernels_down()
        page = opened()
        output(page).get_by_text("Count again.").wait_for()
        assert output(page).get_by_text("Error displaying widget").count() == 0
        page.evaluate(SAVE)


def test_settings_when_read_then_name_this_extension():
    folder = saved_widgets.SETTINGS / "jupyter_server_config.d"
    settings = json.loads((folder / "mlops_course.json").read_text(encoding="utf-8"))
    assert settings["ServerApp"]["jpserver_extensions"] == {saved_widgets.__name__: True}
