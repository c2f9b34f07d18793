"""Questions at an alert and a mystery, answered in JupyterLab by a person with a keyboard."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab import KERNEL_IS_IDLE, Lab, running_lab

from mlops_course.pipeline.scenarios import DIAGNOSES

PATIENCE_MS = 40_000
SHOTS = os.environ.get("MLOPS_COURSE_SHOTS", "")
NOTEBOOK = "choices.ipynb"
CELL = """
from mlops_course.simulator.simulator import PipelineSimulator
PipelineSimulator("drift", pace="instant")
"""
FOCUS_IS_IN = "selector => document.activeElement.matches(selector)"
TEXT_OF_THE_PAGE = """
() => {
    const copy = document.querySelector(".mls").cloneNode(true);
    copy.querySelectorAll("select, .mls-detail, .mls-controls").forEach((part) => part.remove());
    return copy.innerHTML;
}
"""
CHANGE_THEME = """
async (theme) => {
    await window.jupyterapp.commands.execute("apputils:change-theme", { theme });
    await new Promise((resolve) => setTimeout(resolve, 1500));
}
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, template_cache) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(CELL)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / NOTEBOOK)
    with running_lab(tmp_path_factory.mktemp("lab"), folder, template_cache) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser, lab):
    opened = browser.new_page(viewport={"width": 1300, "height": 1100})
    opened.set_default_timeout(PATIENCE_MS)
    opened.goto(lab.address(NOTEBOOK))
    opened.wait_for_selector(".jp-Notebook .jp-CodeCell")
    opened.wait_for_function(KERNEL_IS_IDLE)
    opened.locator(".jp-CodeCell").first.click()
    opened.keyboard.press("Control+Enter")
    opened.wait_for_selector(".mls[data-mode=idle]")
    yield opened
    opened.close()


def shoot(page, name: str) -> None:
    """Keep a picture of the simulator where somebody wants to look at it."""
    if SHOTS:
        page.locator(".mls").first.screenshot(path=Path(SHOTS) / f"{name}.png")


def begin(page, scenario: str, ask: bool) -> None:
    """Set the simulator to a scenario and press *Run pipeline* by keyboard."""
    page.get_by_role("button", name="Reset").click(force=True)
    page.wait_for_selector(".mls[data-mode=idle]")
    if scenario == "mystery":
        page.get_by_label("Other incidents").select_option(scenario)
    else:
        page.get_by_role("button", name=scenario).click()
    page.get_by_label("Ask me at an alert").set_checked(ask)
    page.wait_for_timeout(300)
    page.locator(".mls-run").focus()
    page.keyboard.press("Enter")


def faults(page) -> list[str]:
    """Return what axe finds in the simulator, in both themes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate(CHANGE_THEME, theme)
        violations = axe.run(page, context=".mls").response["violations"]
        found += [f"{theme}: {one['id']}" for one in violations]
    return found


def test_question_when_an_alert_comes_then_has_the_focus_and_the_run_waits(page):
    begin(page, "Data drift", ask=True)
    page.wait_for_selector(".mls[data-mode=asking]")
    page.wait_for_function(FOCUS_IS_IN, arg="[role=alertdialog]")
    assert page.get_by_role("alertdialog", name="What would you do?").is_visible()
    assert "waiting for your decision" in page.locator(".mls-status").inner_text()
    run = page.locator(".mls-run")
    assert run.inner_text() == "Waiting for your decision"
    assert run.get_attribute("aria-disabled") == "true"
    page.wait_for_timeout(1_500)
    assert page.locator(".mls[data-mode=asking]").count() == 1
    shoot(page, "question-light")
    assert faults(page) == []


def test_question_when_answered_by_keyboard_then_the_run_goes_on_and_keeps_the_focus(page):
    page.locator("[role=alertdialog]").focus()
    page.keyboard.press("Tab")
    page.wait_for_function(FOCUS_IS_IN, arg="[data-choice=look]")
    page.keyboard.press("Enter")
    page.get_by_text("Week 5, 30 Sep: what would you do?").wait_for()
    page.wait_for_function(FOCUS_IS_IN, arg="[role=alertdialog]")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.wait_for_function(FOCUS_IS_IN, arg="[data-choice=repair]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mls[data-mode=finished]")
    log = page.locator(".mls-log").inner_text()
    assert "Have the feed repaired." in log and "From 17 October on its flights are right" in log
    page.wait_for_function(FOCUS_IS_IN, arg=".mls-run")
    assert page.locator("[role=alertdialog]").is_hidden()


def test_other_choices_when_asked_for_then_are_played_and_set_beside(page):
    shoot(page, "own-choice")
    page.get_by_role("button", name="Play the other choices").click()
    page.wait_for_function("document.querySelectorAll('.mls-hindsight tbody tr').length === 5")
    assert "did best" in page.locator("[data-slot=hindsight]").inner_text()
    shoot(page, "others-light")
    assert faults(page) == []
    with page.expect_download() as arriving:
        page.get_by_role("button", name="Save as a page").click()
    if SHOTS:
        Path(arriving.value.path()).rename(Path(SHOTS) / "choices.html")


def test_page_when_reloaded_at_the_question_then_asks_it_again_and_takes_the_answer(page):
    begin(page, "Data drift", ask=True)
    page.wait_for_selector(".mls[data-mode=asking]")
    page.keyboard.press("Control+s")
    page.wait_for_timeout(2_000)
    page.reload()
    page.wait_for_selector(".mls[data-mode=asking]")
    page.get_by_text("Week 4, 23 Sep: what would you do?").wait_for()
    page.locator("[data-choice=dismiss]").click()
    page.wait_for_selector(".mls[data-mode=finished]")


def test_reset_when_pressed_at_the_question_then_ends_the_run_and_another_can_begin(page):
    begin(page, "Data drift", ask=True)
    page.wait_for_selector(".mls[data-mode=asking]")
    begin(page, "Good data", ask=True)
    page.wait_for_selector(".mls[data-mode=finished]")
    assert page.locator("[role=alertdialog]").is_hidden()


def test_mystery_when_run_then_the_page_says_nothing_until_it_is_diagnosed(page):
    begin(page, "mystery", ask=False)
    page.wait_for_selector(".mls[data-mode=finished]")
    text = page.evaluate(TEXT_OF_THE_PAGE)
    assert not [title for title in DIAGNOSES.values() if title in text]
    assert "mls-incident" not in page.locator("[data-slot=chart] svg").first.inner_html()
    shoot(page, "mystery-light")
    assert faults(page) == []
    named = page.get_by_role("button", name="That is my diagnosis")
    assert named.get_attribute("aria-disabled") == "true"
    page.get_by_label("What is it?").select_option("celsius")
    named.click()
    page.get_by_text("It was:").first.wait_for()
    assert "What it really was" in page.locator("[data-slot=debrief]").inner_text()
    shoot(page, "mystery-told")
    assert faults(page) == []
