"""A run kept: its moments, and the page that plays it, without a kernel and in a browser."""

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest
from handmade import drift_run, monday, started, week

from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.pipeline.events import RunStarted
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import fold
from mlops_course.simulator import recording
from mlops_course.simulator.settings import Settings
from mlops_course.simulator.widget import package_version, parts_of

USUAL = Settings(RunConfig("drift"))
LIMIT_BYTES = 3_000_000


def recorded(page: str) -> dict:
    """Return what a page has kept of a run."""
    packed = re.search(r'<script [^>]*id="recording">([^<]*)</script>', page).group(1)
    return json.loads(gzip.decompress(b64decode(packed)))


# ---- moments


def test_moments_when_a_run_is_whole_then_are_its_stages_and_weeks_in_order():
    names = [mark.name for mark in recording.moments(drift_run())]
    assert names[:7] == ["Data", "Validate", "Train", "Gate", "Register", "Deploy", "week 1, 2 Sep"]
    assert names[10:13] == ["week 5, 30 Sep", "Train (cycle 2)", "week 6, 7 Oct"]
    assert names[-1] == "Monitor"


def test_state_at_a_week_when_it_is_looked_at_later_then_has_what_the_week_set_off_and_no_more():
    events = drift_run()
    fourth = recording.moments(events)[9]
    state = recording.state_at(events, fourth)
    assert fourth.name == "week 4, 23 Sep" and state.weeks[-1].week == monday(4)
    assert [type(entry).__name__ for entry in state.log] == ["Promoted", "AlertRaised", "Notified"]


# ---- the page


def test_page_when_another_run_was_kept_then_shows_it_beside_each_moment():
    kept = fold([*started(), week(1, 0.93)])
    frames = recorded(recording.page(drift_run(), USUAL, kept))["frames"]
    assert any(
        "Week 1 of the kept run: accuracy 93.0%" in frame.get("chart", "") for frame in frames
    )


def test_page_when_a_run_is_saved_then_plays_what_the_widget_showed():
    events = drift_run()
    kept = recorded(recording.page(events, USUAL))
    shown = {}
    for mark, name, frame in zip(
        recording.moments(events), kept["moments"], kept["frames"], strict=True
    ):
        shown |= frame
        assert name == mark.name
        assert shown == parts_of(recording.state_at(events, mark))
    assert kept["settings"]["scenario"] == "drift"
    line = "drift weeks=8 seed=0 alert=90% retrain=auto"
    assert kept["made"] == {"settings": line, "version": package_version()}


def test_page_when_a_run_has_fifty_weeks_of_alerts_then_stays_below_its_limit():
    weeks = [week(number, 0.80 + number / 1_000) for number in range(1, 51)]
    page = recording.page([*started(), *weeks], USUAL)
    assert len(page.encode()) < LIMIT_BYTES


def test_page_when_a_text_holds_markup_then_does_not_obey_it():
    evil = RunStarted("good", "</script><b onclick=1>", 0, 0.9, 8, "auto", "abc")
    page = recording.page([evil, *started()[1:]], USUAL)
    assert "<b onclick" not in page


def test_page_when_nothing_has_run_then_says_what_to_do():
    with pytest.raises(ParameterError, match="There is no run to save"):
        recording.page([], USUAL)


def test_save_when_the_folder_is_missing_then_says_so(tmp_path):
    with pytest.raises(WorkspaceError, match="cannot be written"):
        recording.save(drift_run(), USUAL, tmp_path / "missing" / "run.html")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_when_opened_without_network_then_plays_scrubs_and_has_no_fault(
    browser, tmp_path, scheme
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    file = recording.save(drift_run(), USUAL, tmp_path / "run.html")
    asked: list[str] = []
    broken: list[str] = []
    page = browser.new_page(color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector(".mls[data-mode=finished]")
    assert f"last {fold(drift_run()).weeks[-1].accuracy:.1%}" in _chart(page)
    time = page.locator("[name=at]")
    time.focus()
    time.press("Home")
    page.wait_for_function("document.querySelector('.mls-moment').textContent === 'Data'")
    for _ in range(9):
        time.press("ArrowRight")
    assert page.locator(".mls-moment").inner_text() == "week 4, 23 Sep"
    assert "over 4 weeks" in _chart(page) and page.locator("li[data-kind=alert]").count() == 1
    page.locator("[name=pace]").select_option("instant")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_selector(".mls[data-mode=finished]")
    page.locator(".mls-stage[data-stage=train]").click()
    assert "65,272" in page.locator("[data-panel=train]").text_content()
    assert page.locator("[name=weeks]").is_disabled()
    panel = page.locator("[data-panel=train]")
    assert not panel.locator(".mls-show, .mls-insert").first.is_visible()
    assert page.locator("a[href]").count() == 0
    panel.locator(".mls-copy").click()
    panel.get_by_text("Copied.").wait_for()
    assert "seed=0 alert=90%" in page.locator(".mls-again").inner_text()
    assert not axe.run(page).response["violations"]
    assert asked == [file.as_uri()] and not broken
    page.close()


def _chart(page) -> str:
    return page.locator(".mls-plot svg").first.get_attribute("aria-label")


# ---- the one that the readme links


SHOWN = Path(__file__).parents[2] / "notebooks" / "images" / "simulator.html"


def test_stored_recording_when_compared_with_today_then_has_the_same_script_and_style():
    text = SHOWN.read_text(encoding="utf-8")
    today = recording.page(drift_run(), USUAL)
    cut = re.compile(r"<title>.*?</title>|<h2>.*?</h2>|<script [^>]*id=.recording.>[^<]*</script>")
    assert cut.sub("", text) == cut.sub("", today)
