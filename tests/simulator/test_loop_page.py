"""The loop in a browser, from recordings: its layout, its motion, and who can use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import drift_run, example, monday, started, week

from mlops_course.pipeline.events import (
    REFUSED,
    STAGES,
    Promoted,
    Rejected,
    Retrained,
    StageFailed,
    StageFinished,
    StageStarted,
    WeekScored,
)
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.simulator.recording import page
from mlops_course.simulator.settings import Settings

pytestmark = pytest.mark.browser

# Elements that hold more than they have room for, and neighbours that lie upon each other.
TOO_NARROW = """
() => [...document.querySelectorAll(
    ".mls-stage, .mls-back, .mls-roles > li, .mls-generations > li"
    + ", .mls-flights > li, .mls-legend > li"
  )]
  .filter((one) => one.scrollWidth > one.clientWidth + 1
    || one.scrollHeight > one.clientHeight + 1)
  .map((one) => one.textContent)
"""
OVERLAPPING = """
() => {
  const boxes = [...document.querySelectorAll(
    ".mls-stage, .mls-back p, .mls-batches > li, .mls-roles > li, .mls-generations > li"
    + ", .mls-followed > summary, .mls-flights > li"
  )].map((one) => [one.textContent, one.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([one, a], place) => {
    for (const [other, b] of boxes.slice(place + 1)) {
      const beside = a.right <= b.left || b.right <= a.left;
      const below = a.bottom <= b.top || b.bottom <= a.top;
      if (!beside && !below) found.push([one, other]);
    }
  });
  return found;
}
"""
MOVED_PROPERTIES = """
() => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
  .filter((rule) => rule instanceof CSSKeyframesRule)
  .flatMap((rule) => [...rule.cssRules])
  .flatMap((frame) => [...frame.style])
"""
PLACES = """
() => Object.fromEntries([...document.querySelectorAll(".mls-stage")].map((one) => {
  const box = one.getBoundingClientRect();
  return [one.dataset.stage, [Math.round(box.x), Math.round(box.y)]];
}))
"""


def with_examples(events: list) -> list:
    flights = (example(), example(late=None, arr_delay=None), example(unharmed={}))
    return [
        replace(event, examples=flights) if isinstance(event, WeekScored) else event
        for event in events
    ]


def ten_generations() -> list:
    """Return 39 weeks of ten versions, refused candidates between them, and one at the gate."""
    events = [*started(), StageStarted("monitor", 1)]
    for number in range(1, 40):
        events.append(week(number, 0.92, str((number - 1) // 4 + 1), answered=6_400 - number % 2))
        last = monday(number)
        if number % 4 == 2:
            events.append(Retrained(last, (last,), 6_400, "refused", 0.2))
            events.append(Rejected(last, "It does not gain."))
        if number % 4 == 0:
            old, new = str(number // 4), str(number // 4 + 1)
            events.append(Retrained(last, (last,), 6_400, new, 0.2))
            events.append(Promoted(last, old, new, "better", new))
    for stage in STAGES[:4]:
        done = {"training flights": 12_900, "weeks": monday(39)}
        headline = REFUSED if stage == "gate" else "12,900 flights"
        events.append(StageStarted(stage, 20))
        events.append(StageFinished(stage, 20, 0.1, headline, done))
    return events


FAILED = "The scoring service does not answer. It is started with the run. Run the pipeline again."
RUNS = {
    "drift": with_examples(drift_run()),
    "ten generations": with_examples(ten_generations()),
    "failed": [*started()[:-3], StageStarted("deploy", 1), StageFailed("deploy", 1, 0.1, FAILED)],
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {}
    for name, events in RUNS.items():
        written[name] = folder / f"{name}.html"
        text = page(events, Settings(RunConfig("drift")))
        written[name].write_text(text, encoding="utf-8")
    return written


@contextmanager
def opened(browser, path: Path, width: int = 960, **context: str) -> Iterator:
    """Open a recording in which the picture is so wide, everything unfolded."""
    tab = browser.new_page(viewport={"width": width + 36, "height": 800}, **context)
    tab.goto(path.as_uri())
    tab.wait_for_selector(".mls-stage")
    tab.evaluate("document.querySelector('.mls-followed').open = true")
    yield tab
    tab.close()


@pytest.mark.parametrize("width", [960, 600, 480])
@pytest.mark.parametrize("run", RUNS)
def test_picture_when_it_is_so_wide_then_nothing_lies_upon_another_or_sticks_out(
    browser, pages, run, width
):
    with opened(browser, pages[run], width) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width + 36
        assert tab.evaluate(TOO_NARROW) == []
        assert tab.evaluate(OVERLAPPING) == []


@pytest.mark.parametrize("width", [960, 600])
def test_loop_when_there_is_room_then_goes_to_the_right_above_and_to_the_left_below(
    browser, pages, width
):
    with opened(browser, pages["drift"], width) as tab:
        places = tab.evaluate(PLACES)
    upper = [places[stage] for stage in STAGES[:4]]
    lower = [places[stage] for stage in STAGES[4:]]
    assert upper == sorted(upper) and len({y for _, y in upper}) == 1
    assert lower == sorted(lower, reverse=True) and len({y for _, y in lower}) == 1
    assert lower[0][0] == upper[-1][0] and lower[0][1] > upper[-1][1]


def test_motion_when_something_moves_then_is_left_to_the_compositor(browser, pages):
    with opened(browser, pages["drift"]) as tab:
        assert set(tab.evaluate(MOVED_PROPERTIES)) == {"transform", "opacity"}
        assert tab.evaluate("document.getAnimations().length") > 0


def test_motion_when_it_is_not_wanted_then_nothing_moves_and_the_batches_are_there(browser, pages):
    with opened(browser, pages["drift"], reduced_motion="reduce") as tab:
        tab.get_by_role("button", name="Play").click()
        for number in (1, 2):
            tab.wait_for_selector(f".mls-step[data-stage=monitor] [data-key=week-{number}]")
            assert tab.evaluate("document.getAnimations().length") == 0
        assert tab.locator(".mls-step[data-stage=train] .mls-batch").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("run", RUNS)
def test_picture_when_judged_by_axe_then_has_no_fault(browser, pages, run, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, pages[run], color_scheme=theme, reduced_motion="reduce") as tab:
        faults = axe.run(tab, context=".mls").response["violations"]
        assert [f"{one['impact']}: {one['id']}" for one in faults] == []


def test_stage_when_chosen_by_key_then_is_pressed_and_its_panel_opens(browser, pages):
    with opened(browser, pages["drift"]) as tab:
        assert tab.locator(".mls-loop > li").count() == len(STAGES) + 1
        tab.locator(".mls-stage[data-stage=gate]").press("Enter")
        assert tab.locator("[data-panel=gate]").is_visible()
        pressed = tab.locator(".mls-stage[aria-pressed=true]")
        assert pressed.get_attribute("data-stage") == "gate"
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.dataset.stage") == "register"
