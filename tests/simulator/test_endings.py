"""How each scenario ends, on the simulator's own page: what it was, in both themes."""

from itertools import chain

import pytest
from alone import running_alone

from mlops_course.pipeline.events import MYSTERY
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.simulator.settings import FIRST_CHOICE, choices

PATIENCE_MS = 180_000
OTHERS = chain.from_iterable(dict(group) for _, group in choices()["others"])
ENDINGS = [*FIRST_CHOICE, *(name for name in OTHERS if name != MYSTERY)]
SET_THEME = "light => document.documentElement.dataset.jpThemeLight = String(light)"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory, template_cache):
    home = tmp_path_factory.mktemp("endings") / "workspace"
    with running_alone(home, template_cache) as alone:
        opened = browser.new_page(viewport={"width": 1000, "height": 1200})
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(alone.address)
        opened.wait_for_selector(".mls[data-mode=idle]")
        opened.locator("[name=pace]").select_option("instant")
        yield opened
        opened.close()


def choose(page, scenario: str) -> None:
    """Choose what production meets, after a reset if there was a run."""
    page.get_by_role("button", name="Reset").click(force=True)
    page.wait_for_selector(".mls[data-mode=idle]")
    if scenario in FIRST_CHOICE:
        page.get_by_role("button", name=SCENARIOS[scenario].title, exact=True).click()
    else:
        page.get_by_label("Other incidents").select_option(scenario)


@pytest.mark.parametrize("scenario", ENDINGS)
def test_scenario_when_run_to_its_end_then_says_what_it_was_and_what_to_do_in_both_themes(
    page, scenario
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    choose(page, scenario)
    page.get_by_role("button", name="Run pipeline").click()
    page.wait_for_selector(".mls[data-mode=running]")
    page.wait_for_selector(".mls[data-mode=finished], .mls[data-mode=failed]")
    assert page.locator(".mls-status").inner_text().startswith("Finished"), scenario
    debrief = page.locator("[data-slot=debrief]").inner_text()
    assert f"What it really was: {SCENARIOS[scenario].title}" in debrief
    assert f"Right response: {SCENARIOS[scenario].response}" in debrief
    alerts = page.locator(".mls-log li[data-kind=alert]").count()
    told = page.locator(".mls-status").inner_text()
    assert ("No alert" in told) == (alerts == 0), told
    for is_light in (True, False):
        page.evaluate(SET_THEME, is_light)
        page.wait_for_timeout(300)
        found = axe.run(page, context=".mls").response["violations"]
        assert [f"{one['impact']}: {one['id']}" for one in found] == []
        assert page.locator("[data-slot=debrief]").is_visible()
