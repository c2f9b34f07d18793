"""The first lesson as a learner meets it: JupyterLab, a real browser, clicks, an alert read."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from executor import NOTEBOOKS
from lab import KERNEL_IS_IDLE, Lab, running_lab
from processes import wait_for_no_scorers

from mlops_course.core.workspace import HOME_VARIABLE

FOLDER = Path(os.environ.get("MLOPS_COURSE_NOTEBOOKS", NOTEBOOKS))
LESSON = next((path.name for path in sorted(FOLDER.glob("00_*.ipynb"))), "")
PATIENCE_MS = 120_000

SOME_CELL_WAITS = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .some((cell) => cell.type === "code" && cell.executionCount === null)
"""
NO_CELL_WAITS = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .every((cell) => cell.type !== "code" || cell.executionCount !== null)
"""
CELLS_WITH_ERRORS = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter((cell) => cell.type === "code")
    .map((cell) => cell.toJSON())
    .filter((cell) => cell.outputs.some((output) => output.output_type === "error"))
    .map((cell) => [cell.source].flat().join(""))
"""

RESTART_KERNEL = """
() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, template_cache) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab"), FOLDER, template_cache) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser, lab):
    """The lesson, open in the browser, its kernel idle and no cell run yet."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(PATIENCE_MS)
    with evidence(opened, "open"):
        opened.goto(lab.address(LESSON))
        opened.wait_for_selector(".jp-Notebook .jp-CodeCell")
        opened.wait_for_function(KERNEL_IS_IDLE)
    yield opened
    opened.close()


@contextmanager
def evidence(page, name: str) -> Iterator[None]:
    """Keep a screenshot when what follows fails, and print where."""
    try:
        yield
    except BaseException:
        path = Path(tempfile.mkdtemp(prefix="mlops-browser-")) / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        print(f"screenshot: {path}")
        raise


def choose(page, scenario: str) -> None:
    """Press one of the two scenario toggles, after a reset if there was a run."""
    reset = page.get_by_role("button", name="Reset").first
    if reset.is_enabled():
        reset.click()
    page.wait_for_selector(".mls[data-mode=idle]")
    page.get_by_role("button", name=scenario, exact=True).first.click()


def run_pipeline(page) -> None:
    """Press *Run pipeline* and wait for the end of the last week."""
    page.get_by_role("button", name="Run pipeline").first.click()
    page.wait_for_selector(".mls[data-mode=running]")
    page.wait_for_selector(".mls[data-mode=finished], .mls[data-mode=failed]")
    mode = page.locator(".mls").first.get_attribute("data-mode")
    assert mode == "finished", page.locator(".mls").first.inner_text()
    assert page.locator(".mls-step[data-stage=monitor]").first.get_attribute("data-state") == "done"


def test_lesson_when_opened_and_not_run_then_shows_no_broken_widget(page):
    with evidence(page, "opened"):
        assert page.locator(".jp-OutputArea").get_by_text("Error displaying widget").count() == 0
        assert page.locator("img[src^='data:image/svg+xml']").first.is_visible()
        assert page.get_by_text("Jupyter news").count() == 0


def test_lesson_when_worked_through_then_the_alert_of_the_drift_can_be_read(page):
    with evidence(page, "run-all"):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_function(SOME_CELL_WAITS)
        page.wait_for_function(NO_CELL_WAITS)
        page.wait_for_function(KERNEL_IS_IDLE)
        assert page.evaluate(CELLS_WITH_ERRORS) == []
    simulator = page.locator(".mls").first
    with evidence(page, "good-data"):
        choose(page, "Good data")
        run_pipeline(page)
        assert simulator.locator(".mls-log li[data-kind=alert]").count() == 0
    with evidence(page, "stage"):
        simulator.locator(".mls-stage[data-stage=train]").click()
        detail = simulator.locator("[data-panel=train]")
        detail.wait_for(state="visible")
        assert re.search(r"model digest\s*[0-9a-f]{12}", detail.inner_text())
    with evidence(page, "drift"):
        choose(page, "Data drift")
        run_pipeline(page)
        log = simulator.locator(".mls-log")
        said = log.locator("li[data-kind=alert]").last.inner_text(timeout=5_000)
        assert re.search(r"Accuracy 0\.\d{3} in the week of .*, below 0\.90\.", said), said
        assert log.locator("li[data-kind=done]").count() == 2, log.inner_text()


def test_kernel_when_restarted_in_mid_run_then_the_widget_says_so(page):
    simulator = page.locator(".mls").first
    with evidence(page, "restart"):
        choose(page, "Good data")
        page.get_by_role("button", name="Run pipeline").first.click()
        page.wait_for_selector(".mls[data-mode=running]")
        page.evaluate(RESTART_KERNEL)
        page.wait_for_selector(".mls[data-mode=lost]")
        assert "Run this cell again" in simulator.locator(".mls-status").inner_text()


def test_kernel_when_shut_down_then_no_service_stays(page, lab):
    lab.shut_kernels_down()
    assert wait_for_no_scorers(HOME_VARIABLE, str(lab.home), seconds=15) == []
