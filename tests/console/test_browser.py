"""A short shift as somebody plays it: JupyterLab, a real browser, clicks, a kernel restarted."""

import nbformat
import pytest
from lab import KERNEL_IS_IDLE, evidence, running_lab
from nbformat.v4 import new_code_cell, new_notebook

PATIENCE_MS = 90_000
ANSWER_MS = 300
CELL = """\
from datetime import date

from mlops_course import OnCall
from mlops_course.shifts.plans import Planned, Shift, struck

hours = struck("hours", date(2013, 4, 10), date(2013, 4, 22))
call = OnCall(shift=Shift(3, date(2013, 4, 1), 3, (Planned(hours),), "three weeks"), live=False)
call"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
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
ADD_A_FAULT = "() => document.querySelector('.moc form').append(document.createElement('select'))"
REMOVE_THE_FAULT = "() => document.querySelector('.moc form > select').remove()"
# From a click to the frame in which its answer stands.
MEASURE = """
async (look) => {
    const begun = performance.now();
    const answered = new Promise((resolve) => {
        const watch = new MutationObserver(() => {
            watch.disconnect();
            requestAnimationFrame(() => resolve(performance.now() - begun));
        });
        watch.observe(document.querySelector(".moc .moc-page"), { childList: true, subtree: true,
            characterData: true, attributes: true });
    });
    document.querySelector(`[data-look=${look}]`).click();
    return await answered;
}
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory, template_cache):
    """A notebook with one cell that shows a shift, opened and run."""
    folder = tmp_path_factory.mktemp("notebooks")
    book = new_notebook(cells=[new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, folder / "shift.ipynb")
    with running_lab(tmp_path_factory.mktemp("lab"), folder, template_cache) as lab:
        opened = browser.new_page(viewport={"width": 1300, "height": 1200})
        opened.set_default_timeout(PATIENCE_MS)
        with evidence(opened, "open"):
            opened.goto(lab.address("shift.ipynb"))
            opened.wait_for_function(KERNEL_IS_IDLE)
            opened.evaluate(RUN_ALL)
            in_mode(opened, "playing")
        yield opened
        opened.close()


def in_mode(page, *modes: str) -> None:
    """Wait until the console is in one of some modes."""
    page.wait_for_selector(", ".join(f".moc[data-mode={mode}]" for mode in modes))


def press(page, name: str) -> None:
    """Press a button of the console."""
    page.locator(".moc").get_by_role("button", name=name).first.click()


def status(page) -> str:
    """Return what the console says."""
    return page.locator(".moc .mls-status").inner_text()


def test_pager_when_waited_for_then_calls_aloud_and_the_alarm_stands_there(page):
    with evidence(page, "pager"):
        assert page.locator(".mls-kept:visible").count() == 0
        page.locator("[data-order=wait]").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".moc .moc-alarms")
        in_mode(page, "playing")
        assert page.locator(".moc .moc-urgent[role=alert]").inner_text().startswith("The pager")
        alarm = page.locator(".moc .moc-alarms li").first.inner_text()
        assert "Page: hardly any flight called late" in alarm and "Runbook:" in alarm
        assert page.evaluate("document.activeElement.dataset.order") == "wait"


def test_page_when_looked_at_then_is_there_within_the_time_and_older_ones_can_be_read(page):
    with evidence(page, "look"):
        waited = [page.evaluate(MEASURE, look) for look in ("overview", "rows", "registry")]
        assert min(waited) < ANSWER_MS, waited
        choose = page.get_by_label("Pages looked at")
        assert choose.locator("option").first.inner_text().startswith("Registry log")
        choose.select_option("1")
        page.locator(".moc .moc-page h4", has_text="Sample of rows").wait_for()
        assert page.locator(".moc .moc-page tbody tr").count() == 10


def test_keys_when_the_focus_is_in_the_console_then_the_notebook_does_not_take_them(page):
    with evidence(page, "keys"):
        cells = page.locator(".jp-Cell").count()
        for focused in ("[data-look=drift]", "[name=sure]", ".moc-log-scroll", "[name=cause]"):
            page.locator(f".moc {focused}").focus()
            for key in ("x", "d", "d"):
                page.keyboard.press(key)
            at = page.locator(f".moc {focused}")
            assert at.evaluate("element => element === document.activeElement"), focused
        assert page.locator(".jp-Cell").count() == cells


def test_action_when_pressed_with_a_cause_then_is_done_and_one_that_cannot_be_says_why(page):
    with evidence(page, "act"):
        page.locator(".moc [name=cause]").select_option("hours")
        page.get_by_label("Sure, in %").fill("90")
        press(page, "Have the feed repaired")
        page.wait_for_function(
            "document.querySelector('.moc .mls-status').textContent.includes('answer on')"
        )
        page.locator(".moc .moc-pager", has_text="Under way").wait_for()
        press(page, "Have the feed repaired")
        page.locator(".moc .mls-refused", has_text="under way already").wait_for()
        press(page, "Next day")
        page.wait_for_function("document.querySelector('.moc [name=cause]').value === ''")
        in_mode(page, "playing")


def test_kernel_when_restarted_in_mid_shift_then_the_shift_goes_on_where_it_was(page):
    with evidence(page, "restart"):
        log = page.locator(".moc .moc-log").inner_text()
        page.evaluate(RESTART_KERNEL)
        in_mode(page, "lost", "silent")
        assert "the shift goes on where it was" in status(page)
        page.wait_for_function(KERNEL_IS_IDLE)
        page.evaluate(RUN_ALL)
        in_mode(page, "playing")
        assert "steps were done again" in status(page)
        assert page.locator(".moc .moc-log").inner_text() == log
        assert page.get_by_label("Pages looked at").locator("option").count() == 3


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_console_when_judged_by_axe_then_has_no_fault_in_play_nor_at_the_end(page, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def faults() -> list[str]:
        page.wait_for_timeout(300)
        found = axe.run(page, context=".moc").response["violations"]
        return [f"{one['impact']}: {one['id']}: {one['nodes'][0]['html']}" for one in found]

    with evidence(page, f"axe-{theme}"):
        page.evaluate(CHANGE_THEME, theme)
        assert faults() == [], "in play, or at the end"
        while page.locator(".moc[data-mode=playing]").count():
            press(page, "Wait until the pager calls")
            page.wait_for_selector(".moc[data-mode=passing]", timeout=2_000)
            in_mode(page, "playing", "over")
        if page.locator(".moc [data-order=score]").is_visible():
            press(page, "Score and debrief the shift")
        page.wait_for_selector(".moc .mls-hindsight")
        in_mode(page, "over")
        assert faults() == [], "at the end"
        page.evaluate(ADD_A_FAULT)
        assert [fault.split(":")[1] for fault in faults()] == [" select-name"]
        page.evaluate(REMOVE_THE_FAULT)


def test_shift_when_over_then_its_score_and_truth_stand_there_and_nothing_is_offered(page):
    with evidence(page, "over"):
        shown = page.locator(".moc section[aria-label='The end of the shift']").inner_text()
        assert "You saved" in shown and "Delay in hours: Wed 10 Apr 2013" in shown
        assert page.locator(".moc [data-look]:visible, .moc [data-act]:visible").count() == 0
        page.set_viewport_size({"width": 1056, "height": 1200})
        page.wait_for_timeout(300)
        wide = page.locator(".moc").evaluate("one => one.scrollWidth - one.clientWidth")
        assert wide <= 0
