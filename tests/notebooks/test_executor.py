"""The notebook executor: what it stores, what it compares, and what it does about trouble."""

import base64
import io
import sys
from copy import deepcopy

import executor
import nbformat
import pytest
from lab import running_lab
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_runs import KINDS, fresh, mutated
from PIL import Image
from stored import WIDGET, differences, is_exact_here, normalised, text_of

CELLS = {
    "a printed number": "print('rows', 327346)",
    "a result": "12.5 * 3",
    "a table": "import pandas as pd\n\npd.DataFrame({'week': [1, 2], 'accuracy': [0.958, 0.915]})",
    "a control": "import ipywidgets\n\nipywidgets.IntSlider(value=8)",
    "a question": (
        "from mlops_course.course.exercises import Question\n\n"
        "choices = ({'text': 'yes', 'feedback': 'Right.'}, {'text': 'no', 'feedback': 'Again.'})\n"
        "Question('99.a', 'Is 2 < 3?', choices, 1)"
    ),
}

JUPYTERLAB_IS_THERE = "() => window.jupyterapp?.commands.hasCommand('docmanager:open')"
# As *Open With*, *Notebook (no kernel)* in the menu of a file does.
OPEN_WITHOUT_KERNEL = """
async (path) => {
    await window.jupyterapp.restored;
    const kernelPreference = { shouldStart: false, shouldReuse: false };
    await window.jupyterapp.commands.execute("docmanager:open", { path, kernelPreference });
}
"""
KERNEL = "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel ?? null"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A small notebook of every kind of output, as the executor stores it."""
    folder = tmp_path_factory.mktemp("executed")
    write(folder / "00_small.ipynb", *CELLS.values())
    assert executor.main(["--execute", "--folder", str(folder)]) == 0
    return folder / "00_small.ipynb"


@pytest.fixture
def stored(ran, tmp_path):
    """A copy of it that a test may change."""
    return copy_to(tmp_path, ran)


def write(path, *sources):
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)


def copy_to(folder, path):
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


def change(path, act):
    notebook = nbformat.read(path, as_version=4)
    act(notebook)
    nbformat.write(notebook, path)


def run(path, mode):
    return executor.main([mode, "--folder", str(path.parent)])


def test_execute_when_repeated_then_the_bytes_are_the_same(stored, ran):
    assert run(stored, "--execute") == 0
    assert stored.read_bytes() == ran.read_bytes()


def test_execute_when_done_then_counts_are_in_order_and_nothing_passing_is_kept(ran):
    notebook = nbformat.read(ran, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4, 5]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert WIDGET not in ran.read_text(encoding="utf-8")
    assert ran.read_text(encoding="utf-8") == text_of(normalised(notebook))


def test_notebook_when_made_into_a_page_then_widgets_are_text_and_need_no_script(ran):
    page, _ = HTMLExporter().from_filename(str(ran))
    assert "<p>Is 2 &lt; 3?</p><ol><li>yes</li><li>no</li></ol>" in page
    assert "IntSlider(value=8)" in page
    assert WIDGET not in page and "html-manager" not in page


@pytest.mark.browser
def test_notebook_when_opened_without_a_kernel_then_widgets_are_text(browser, ran, tmp_path):
    for name in ("data", "cache"):
        (tmp_path / name).mkdir()
    NotebookNotary(data_dir=str(tmp_path / "data")).sign(nbformat.read(ran, as_version=4))
    with running_lab(tmp_path, ran.parent, tmp_path / "cache") as lab:
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.goto(f"{lab.url}lab/workspaces/test?reset&token={lab.token}")
        page.wait_for_function(JUPYTERLAB_IS_THERE)
        page.evaluate(OPEN_WITHOUT_KERNEL, ran.name)
        shown = page.locator(".jp-Notebook .jp-OutputArea")
        shown.get_by_text("Is 2 < 3?").wait_for()
        assert shown.nth(3).get_by_text("IntSlider(value=8)").is_visible()
        assert page.evaluate(KERNEL) is None
        page.close()


def test_execute_when_a_cell_fails_then_names_it_and_leaves_the_file(tmp_path, capsys):
    path = tmp_path / "03_broken.ipynb"
    write(path, "flights = 5", "flights / 0")
    before = path.read_bytes()
    assert run(path, "--execute") == 1
    said = capsys.readouterr().out
    assert "03_broken.ipynb, cell 2: ZeroDivisionError: division by zero" in said
    assert "flights / 0" in said
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process is a Unix notion")
def test_execute_when_the_kernel_dies_then_says_so(tmp_path, capsys):
    path = tmp_path / "03_deadly.ipynb"
    write(path, "import os\n\nos.kill(os.getpid(), 9)")
    assert run(path, "--execute") == 1
    assert "the kernel died" in capsys.readouterr().out


def test_check_when_an_output_was_changed_then_shows_it_and_the_way_out(stored, capsys):
    def falsify(notebook):
        notebook.cells[0].outputs[0].text = "lines 327346\n"

    change(stored, falsify)
    assert run(stored, "--check") == 1
    said = capsys.readouterr().out
    assert "-[stdout] lines 327346" in said and "+[stdout] rows 327346" in said
    assert "mlops-course notebooks --execute 00" in said


def test_check_when_jupyterlab_has_saved_the_notebook_then_it_still_agrees(stored):
    def save_like_jupyterlab(notebook):
        notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
        notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1"}
        notebook.cells[0].metadata["execution"] = {"iopub.status.idle": "2026-11-24T07:00:00Z"}
        for cell in notebook.cells[3:]:
            cell.outputs[0].data[WIDGET] = {"model_id": "0123456789abcdef"}

    change(stored, save_like_jupyterlab)
    assert run(stored, "--check") == 0


def test_run_when_a_number_is_unknown_then_names_those_there_are(stored):
    with pytest.raises(SystemExit, match=r"no notebook 07 .* are 00"):
        executor.main(["--check", "07", "--folder", str(stored.parent)])


def test_run_when_the_learner_has_settings_then_they_stay_out(tmp_path, monkeypatch):
    profile = tmp_path / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "greet.py").write_text("answer = 42")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "20")
    path = tmp_path / "00_clean.ipynb"
    write(path, "import os\n\n'answer' in globals(), os.environ.get('COLUMNS'), os.environ['TZ']")
    assert run(path, "--execute") == 0
    result = nbformat.read(path, as_version=4).cells[0].outputs[0].data["text/plain"]
    assert result == "(False, None, 'UTC')"


@pytest.mark.skipif(not is_exact_here(), reason="nbval compares outputs on Linux x86-64 alone")
def test_nbval_when_any_kind_of_output_is_falsified_then_names_exactly_these_cells(ran):
    found = mutated(ran)
    assert set(found.falsified) == set(KINDS)
    assert found.nbval.red == tuple(found.falsified.values()), found.nbval.said


def test_fresh_run_when_a_second_run_fails_then_names_the_cell_and_gives_the_first_runs_outputs(
    tmp_path,
):
    path = tmp_path / "00_twice.ipynb"
    write(path, "seen = globals().get('seen', 0) + 1\n\nseen", "assert seen == 1, 'run twice'")
    assert run(path, "--execute") == 0
    ran = fresh(path)
    assert ran.nbval.status == 0, ran.nbval.said
    assert ran.repeat_failed.startswith("cell 2: AssertionError: run twice")
    assert executor.disagreement(path, ran.notebook) == []
    change(path, lambda notebook: notebook.cells[0].outputs[0].data.update({"text/plain": "7"}))
    assert executor.disagreement(path, ran.notebook)


# ---- normalising and comparing, without a kernel


def notebook_with(*outputs):
    cell = new_code_cell("work()", execution_count=1, outputs=deepcopy(list(outputs)))
    return normalised(new_notebook(cells=[cell]))


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (colour, colour, colour)).save(buffer, "PNG")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": "<Figure>"}
    return new_output("display_data", data=data)


def test_normalising_when_a_stream_came_in_pieces_then_it_is_one():
    pieces = notebook_with(printed("week 1\n"), printed("week 2\n"))
    assert pieces == notebook_with(printed("week 1\nweek 2\n"))


def test_normalising_when_a_cell_moves_then_it_keeps_its_id():
    first, second = new_code_cell("train()"), new_code_cell("serve()")
    ids = [cell.id for cell in normalised(new_notebook(cells=[first, second])).cells]
    text, twin = new_markdown_cell("Between."), new_code_cell("serve()")
    moved = normalised(new_notebook(cells=[first, text, second, twin])).cells
    assert [moved[0].id, moved[2].id] == ids
    assert len({cell.id for cell in moved}) == 4


@pytest.mark.parametrize("exact", [True, False])
def test_comparing_when_words_differ_then_tells(exact):
    one, other = notebook_with(printed("3 alerts")), notebook_with(printed("3 promotions"))
    assert differences(one, one, exact=exact) == []
    assert differences(one, other, exact=exact)


def test_comparing_when_only_digits_differ_then_tells_where_digits_are_promised():
    one, other = notebook_with(printed("accuracy .9132")), notebook_with(printed("accuracy .9133"))
    assert differences(one, other, exact=True)
    assert differences(one, other, exact=False) == []


@pytest.mark.parametrize("exact", [True, False])
def test_comparing_when_an_output_is_missing_then_tells(exact):
    assert differences(notebook_with(printed("3")), notebook_with(), exact=exact)


def test_comparing_when_pictures_look_alike_then_passes_and_otherwise_tells():
    one, like, unlike = (notebook_with(picture(colour)) for colour in (100, 100, 160))
    like.cells[0].outputs[0].data["image/png"] = _packed_otherwise(one)
    assert differences(one, like, exact=True) == []
    assert differences(one, unlike, exact=True)


def test_comparing_when_a_cell_draws_what_was_measured_then_its_picture_may_differ():
    one, unlike = (notebook_with(picture(colour)) for colour in (100, 160))
    one.cells[0].metadata["tags"] = unlike.cells[0].metadata["tags"] = ["measured"]
    assert not differences(one, unlike, exact=True)
    unlike.cells[0].outputs[0].data["text/plain"] = "<another>"
    assert differences(one, unlike, exact=True)


def _packed_otherwise(notebook):
    """Return the same picture in other bytes."""
    old = base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])
    buffer = io.BytesIO()
    Image.open(io.BytesIO(old)).save(buffer, "PNG", compress_level=0)
    assert buffer.getvalue() != old
    return base64.b64encode(buffer.getvalue()).decode()


def test_comparing_when_a_drawing_differs_then_shows_the_element_and_not_base64():
    def drawn(word):
        svg = base64.b64encode(f"<svg><text>{word}</text></svg>".encode()).decode()
        html = f'<img src="data:image/svg+xml;base64,{svg}">'
        return notebook_with(new_output("display_data", data={"text/html": html}))

    told = differences(drawn("done"), drawn("failed"), exact=True)
    assert any("<text>failed</text>" in line for line in told)
