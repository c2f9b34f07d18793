"""What stays in a notebook of a simulator: without a kernel, without trust, and as a page."""

import json
import re
import subprocess
import sys
from html import unescape

import nbformat
import pytest
from handmade import drift_run
from lab import KERNEL_IS_IDLE, running_lab
from nbformat.v4 import new_code_cell, new_notebook

from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, fold
from mlops_course.simulator import recording
from mlops_course.simulator.kept import RUN_IT, WIDGET_VIEW, Kept, outputs_html
from mlops_course.simulator.settings import Settings
from mlops_course.simulator.widget import Picture, StillPicture

RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
CELL = """\
from mlops_course import PipelineSimulator

PipelineSimulator(weeks=1, pace="instant")"""
BROKEN = re.compile("model not found|Loading widget|Error displaying")


def test_outputs_when_nothing_has_run_then_are_the_still_picture_and_what_to_do():
    html = outputs_html(StillPicture(RunState()))
    assert RUN_IT in html and "<img " in html and "<iframe" not in html
    assert html == outputs_html(StillPicture(RunState()))


def test_outputs_when_a_run_is_kept_then_hold_its_page_and_the_still_picture():
    events = drift_run()
    page = recording.page(events, Settings(RunConfig("drift")))
    html = outputs_html(StillPicture(fold(events)), page, "Finished")
    framed = re.search(r'<iframe srcdoc="([^"]*)"', html).group(1)
    assert unescape(framed) == page
    assert "<img " in html and 'data-status="Finished"' in html


def test_keep_when_no_page_follows_the_run_then_a_stored_notebook_does_not_change(capsys):
    kept = Kept()
    kept.show("words", StillPicture(RunState()), view := Picture())
    shown = capsys.readouterr().out
    kept.keep("words", view, drift_run(), Settings(RunConfig("drift")), None)
    assert shown and capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, template_cache):
    """JupyterLab on a notebook that shows a simulator and has not been run."""
    folder = tmp_path_factory.mktemp("notebooks")
    book = new_notebook(cells=[new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, folder / "simulator.ipynb")
    with running_lab(tmp_path_factory.mktemp("lab"), folder, template_cache) as started:
        yield started


def opened(browser, lab):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(90_000)
    page.goto(lab.address("simulator.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(KERNEL_IS_IDLE)
    return page


def is_whole(page) -> bool:
    """Whether nothing that a person can see is an error, or waits for ever."""
    return page.get_by_text(BROKEN).locator("visible=true").count() == 0


@pytest.fixture(scope="module")
def saved(browser, lab):
    """The notebook after a run in the page, its kernel restarted while it was shown, saved."""
    page = opened(browser, lab)
    page.evaluate(RUN_ALL)
    page.wait_for_selector(".mls[data-mode=idle]")
    assert page.locator(".mls-kept:visible").count() == 0
    page.locator(".mls-run").click()
    page.wait_for_selector(".mls[data-mode=finished]")
    page.wait_for_selector(".mls-kept iframe", state="attached")
    page.evaluate(SAVE)
    page.wait_for_timeout(1000)
    page.evaluate(RESTART)
    page.wait_for_selector(".mls[data-mode=lost]")
    page.close()
    lab.shut_kernels_down()
    return lab.folder / "simulator.ipynb"


@pytest.mark.browser
def test_notebook_when_reopened_with_a_kernel_that_ran_nothing_then_the_last_run_can_be_played(
    browser, lab, saved
):
    page = opened(browser, lab)
    page.locator(".mls-kept iframe").wait_for()
    assert page.locator(".mls:visible, .mls-kept img:visible").count() == 0 and is_whole(page)
    played = page.frame_locator(".mls-kept iframe")
    played.get_by_role("heading", name="Good data: 1 week, seed 0").wait_for()
    played.get_by_role("button", name="Play").click()
    played.locator(".mls[data-mode=finished]").wait_for()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    assert page.locator(".mls-kept iframe").is_visible() and is_whole(page)
    page.evaluate(RUN_ALL)
    page.close()


@pytest.mark.browser
def test_notebook_when_made_a_page_then_plays_the_last_run_without_a_network(
    browser, saved, tmp_path
):
    command = ["nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(saved)]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    page = browser.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto((tmp_path / "simulator.html").as_uri())
    page.frame_locator(".mls-kept iframe").get_by_role("button", name="Play").wait_for()
    assert is_whole(page)
    page.close()


@pytest.mark.browser
def test_notebook_when_it_is_not_trusted_then_the_still_picture_of_the_last_run_stands(
    browser, lab, saved
):
    book = json.loads(saved.read_text(encoding="utf-8"))
    assert WIDGET_VIEW in book["cells"][0]["outputs"][1]["data"]
    book["cells"][0]["outputs"][0]["data"]["text/plain"] = "changed, and so not what was signed"
    book["metadata"].pop("widgets", None)
    saved.write_text(json.dumps(book), encoding="utf-8")
    page = opened(browser, lab)
    page.get_by_role("img", name=re.compile("Good data")).wait_for()
    assert page.locator(".mls-kept iframe").count() == 0 and is_whole(page)
    assert page.get_by_text(RUN_IT).is_visible()
    page.close()
