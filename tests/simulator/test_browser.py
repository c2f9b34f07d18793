"""The first lesson as a learner meets it: JupyterLab, a real browser, clicks, an alert read."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor import NOTEBOOKS
from lab import KERNEL_IS_IDLE, Lab, evidence, running_lab
from processes import wait_for_no_scorers

from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.picture.panel import code_of

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

SOURCES = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .map((cell) => cell.sharedModel.getSource())
"""
RESTART_KERNEL = """
() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()
"""

CHANGE_THEME = """
async (theme) => {
    const done = new Promise((resolve) => setTimeout(resolve, 1500));
    await window.jupyterapp.commands.execute("apputils:change-theme", { theme });
    await done;
}
"""
ADD_A_FAULT = """
() => document.querySelector(".mls-buttons").append(document.createElement("select"))
"""
UNFOLD_THE_MONITOR = """
() => document.querySelectorAll(".mls-monitor details").forEach((one) => { one.open = true; })
"""
REMOVE_THE_FAULT = """
() => document.querySelector(".mls-buttons > select").remove()
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


def press(page, name: str) -> None:
    """Press a button of the controls."""
    page.get_by_role("button", name=name, exact=True).first.click()


def choose(page, scenario: str, pace: str = "instant") -> None:
    """Press one of the two scenario toggles, after a reset if there was a run."""
    page.get_by_role("button", name="Reset").first.click(force=True)
    page.wait_for_selector(".mls[data-mode=idle]")
    press(page, scenario)
    page.locator(".mls [name=pace]").first.select_option(pace)


def run_pipeline(page) -> None:
    """Press *Run pipeline* and wait for the end of the last week."""
    press(page, "Run pipeline")
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
        assert re.search(r"Accuracy \d\d\.\d% in the week of .* is below 90%\.", said), said
        assert log.locator("li[data-kind=done]").count() == 2, log.inner_text()


def test_look_back_when_moved_by_keys_then_shows_that_week_and_latest_returns(page):
    simulator = page.locator(".mls").first
    with evidence(page, "look-back"):
        time = simulator.locator("[name=at]")
        time.focus()
        time.press("Home")
        page.wait_for_function("document.querySelector('.mls-moment').textContent === 'Data'")
        assert simulator.locator(".mls-step[data-state=waiting]").count() == 6
        assert "Looking back at Data" in simulator.locator(".mls-status").inner_text()
        press(page, "Latest")
        page.wait_for_function("document.querySelector('.mls-moment').textContent === 'Monitor'")
        assert "Finished" in simulator.locator(".mls-status").inner_text()


def test_save_button_when_pressed_then_the_page_arrives_and_holds_the_run(page):
    with evidence(page, "save"), page.expect_download() as arriving:
        press(page, "Save as a page")
    saved = arriving.value
    assert saved.suggested_filename == "drift.html"
    assert "Data drift: 8 weeks, seed 0" in Path(saved.path()).read_text(encoding="utf-8")


def test_code_by_hand_when_copied_and_inserted_then_is_there_in_the_order_it_needs(page):
    simulator = page.locator(".mls").first
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with evidence(page, "by-hand"):
        for stage in ("validate", "data"):
            simulator.locator(f".mls-stage[data-stage={stage}]").click()
            panel = simulator.locator(f"[data-panel={stage}]")
            panel.get_by_role("button", name="Insert below").click()
            panel.get_by_text("Inserted below this cell").wait_for()
        panel.get_by_role("button", name="Copy").click()
        panel.get_by_text("Copied.", exact=True).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == code_of("data")
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
        simulator.locator(".mls-again .mls-copy").click()
        simulator.locator(".mls-again").get_by_text("Copied.", exact=True).wait_for()
        line = page.evaluate("navigator.clipboard.readText()")
        assert line == "drift weeks=8 seed=0 alert=90% retrain=auto"
        sources = page.evaluate(SOURCES)
        at = next(n for n, source in enumerate(sources) if "PipelineSimulator()" in source)
        assert sources[at + 1 : at + 3] == [code_of("data"), code_of("validate")]


def test_artefacts_when_clicked_then_mlflow_shows_that_run_and_that_version(page, lab):
    simulator = page.locator(".mls").first
    for stage, shown in (("train", "drift training"), ("register", "Registered Models")):
        with evidence(page, f"mlflow-{stage}"):
            simulator.locator(f".mls-stage[data-stage={stage}]").click()
            link = simulator.locator(f"[data-panel={stage}] .mls-kept").first
            with page.expect_popup() as opened:
                link.click()
            opened.value.set_default_timeout(PATIENCE_MS)
            opened.value.get_by_text(shown).first.wait_for()
            assert opened.value.url.startswith(f"{lab.url}mlflow-simulator/#/")
            opened.value.close()


def test_show_me_when_pressed_then_sets_the_scenario_and_it_goes_wrong(page):
    simulator = page.locator(".mls").first
    with evidence(page, "show-me"):
        simulator.locator(".mls-stage[data-stage=deploy]").click()
        panel = simulator.locator("[data-panel=deploy]")
        panel.get_by_role("button", name="Show me: A few departure delays empty").click()
        panel.get_by_text("Asked to run refused weeks=8").wait_for()
        page.wait_for_selector(".mls[data-mode=running]")
        assert page.evaluate("document.activeElement.className") == "mls-run"
        panel.get_by_role("button", name="Show me").click()
        panel.get_by_text("A run is under way").wait_for()
        page.wait_for_selector(".mls[data-mode=finished]")
        assert simulator.locator("[name=others]").input_value() == "refused"
        assert "flights unanswered" in simulator.locator(".mls-status").inner_text()


@pytest.mark.parametrize(
    ("typed", "shown", "refused"),
    [
        ("85", "85%", ""),
        ("92%", "92%", ""),
        ("", "92%", "It is a percentage from 50 to 99.9"),
        ("high", "92%", "It is a percentage from 50 to 99.9"),
        ("0.9", "90%", ""),
    ],
)
def test_threshold_when_typed_then_is_what_was_meant_or_says_why_not(page, typed, shown, refused):
    field = page.get_by_label("Alert below").first
    with evidence(page, "threshold"):
        field.fill(typed)
        field.press("Enter")
        page.wait_for_function(
            "([shown, refused]) => document.querySelector('.mls [name=threshold]').value === shown"
            " && document.querySelector('.mls-refused').textContent.includes(refused)",
            arg=[shown, refused],
        )


def test_keys_when_the_focus_is_in_the_simulator_then_the_notebook_does_not_take_them(page):
    cells = page.locator(".jp-Cell").count()
    with evidence(page, "keys"):
        for focused in (".mls-stage[data-stage=train]", ".mls-run", ".mls [name=pace]"):
            page.locator(focused).first.focus()
            page.keyboard.press("x")
            page.keyboard.press("d")
            page.keyboard.press("d")
            at = page.locator(focused).first
            assert at.evaluate("element => element === document.activeElement"), focused
        assert page.locator(".jp-Cell").count() == cells


def test_run_button_when_pressed_again_then_pauses_continues_and_keeps_the_focus(page):
    simulator = page.locator(".mls").first
    with evidence(page, "pause"):
        choose(page, "Data drift", pace="watch")
        page.locator(".mls-run").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".mls[data-mode=running]")
        page.keyboard.press("Enter")
        page.wait_for_selector(".mls[data-mode=paused]")
        assert page.evaluate("document.activeElement.textContent") == "Continue"
        assert "Paused: after" in simulator.locator(".mls-status").inner_text()


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_simulator_when_judged_by_axe_then_has_no_fault_in_any_state(page, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def faults() -> list[str]:
        page.wait_for_timeout(300)
        found = axe.run(page, context=".mls").response["violations"]
        return [f"{one['impact']}: {one['id']}" for one in found]

    with evidence(page, f"axe-{theme}"):
        page.evaluate(CHANGE_THEME, theme)
        assert faults() == [], "paused, or finished by the theme before"
        choose(page, "Data drift")
        assert faults() == [], "idle"
        run_pipeline(page)
        page.locator(".mls-stage[data-stage=train]").first.click()
        page.evaluate(UNFOLD_THE_MONITOR)
        assert page.locator(".mls-scroll tbody tr").count() == 8
        assert faults() == [], "finished, all of the monitor unfolded"
        press(page, "Good data")
        page.wait_for_selector(".mls-stale:not(:empty)")
        assert faults() == [], "stale"
        page.evaluate(ADD_A_FAULT)
        assert faults() == ["critical: select-name"]
        page.evaluate(REMOVE_THE_FAULT)


def test_page_when_reloaded_in_mid_run_then_goes_on_and_every_control_lives(page):
    with evidence(page, "reload"):
        choose(page, "Data drift", pace="watch")
        press(page, "Run pipeline")
        page.wait_for_selector(".mls-step[data-stage=monitor][data-state=running]")
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2_000)
        page.reload()
        page.wait_for_selector(".mls[data-mode=running]")
        press(page, "Pause")
        page.wait_for_selector(".mls[data-mode=paused]")
        page.locator(".mls [name=pace]").first.select_option("instant")
        press(page, "Continue")
        page.wait_for_selector(".mls[data-mode=finished]")
        choose(page, "Good data")


def test_kernel_when_restarted_in_mid_run_then_the_widget_says_so(page):
    simulator = page.locator(".mls").first
    with evidence(page, "restart"):
        choose(page, "Good data")
        press(page, "Run pipeline")
        page.wait_for_selector(".mls[data-mode=running]")
        page.evaluate(RESTART_KERNEL)
        page.wait_for_selector(".mls[data-mode=lost], .mls[data-mode=silent]")
        assert "un this cell again" in simulator.locator(".mls-status").inner_text()


def test_cell_when_run_again_after_that_then_stands_alone_and_its_simulator_works(page):
    with evidence(page, "again"):
        page.locator(".jp-CodeCell", has_text="simulator = PipelineSimulator()").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".mls[data-mode=idle]")
        choose(page, "Good data")
        run_pipeline(page)


def test_button_when_the_kernel_was_shut_down_then_says_what_to_do(page, lab):
    lab.shut_kernels_down()
    with evidence(page, "gone"):
        press(page, "Run pipeline")
        page.wait_for_selector(".mls[data-mode=lost], .mls[data-mode=silent]")
        assert "un this cell again" in page.locator(".mls-status").first.inner_text()


def test_kernel_when_shut_down_then_no_service_stays(lab):
    lab.shut_kernels_down()
    assert wait_for_no_scorers(HOME_VARIABLE, str(lab.home), seconds=15) == []
