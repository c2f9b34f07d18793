"""The simulator on a page of its own: who is answered, what it shows, and how it ends."""

import signal
import socket

import pytest
from alone import running_alone
from processes import wait_for_no_scorers
from starlette.testclient import TestClient

from mlops_course.core.errors import CourseError
from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.simulator import standalone
from mlops_course.simulator.simulator import PipelineSimulator

SECRET = "told-to-nobody"
PATIENCE_MS = 90_000

# How far something inside the simulator stands out of it, and what is cut off, in pixels.
TOO_WIDE = """
() => {
  const root = document.querySelector(".mls");
  const edge = Math.min(root.getBoundingClientRect().right, document.documentElement.clientWidth);
  const page = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const out = [...root.querySelectorAll("*")]
    .filter((one) => one.checkVisibility() && !one.closest("svg *, .mls-spoken"))
    .filter((one) => one.getBoundingClientRect().right > edge + 1)
    .map((one) => `${one.tagName}.${one.className.baseVal ?? one.className}`);
  const cut = [...root.querySelectorAll("button, label, p, dd, dt, h3, h4, summary, .mls-step")]
    .filter((one) => one.checkVisibility() && !one.closest(".mls-spoken"))
    .filter((one) => getComputedStyle(one).overflowX !== "visible")
    .filter((one) => one.scrollWidth > one.clientWidth + 1)
    .map((one) => `cut: ${one.tagName}.${one.className}`);
  return [...(page > 0 ? [`the page scrolls by ${page}`] : []), ...new Set([...out, ...cut])];
}
"""
MOVING = """
() => document.getAnimations().filter((one) => one.playState === "running").length
"""


@pytest.fixture
def simulator(workspace):
    made = PipelineSimulator(workspace=workspace, weeks=1)
    yield made
    made.close()


@pytest.fixture
def asked(simulator):
    """A client of a simulator's page."""
    with TestClient(standalone.application(simulator, SECRET)) as client:
        yield client


def test_page_when_asked_for_with_the_secret_then_is_whole_and_loads_nothing_from_elsewhere(asked):
    answer = asked.get(f"/{SECRET}/")
    assert answer.status_code == 200 and "EventSource" in answer.text
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert 'src="http' not in answer.text and 'href="http' not in answer.text


@pytest.mark.parametrize("path", ["/", "/news", "/tell", "/wrong/", "/wrong/tell"])
def test_page_when_asked_for_without_the_secret_then_nobody_answers(asked, path):
    assert asked.get(path).status_code == 404


def test_message_when_a_setting_is_changed_then_the_simulator_has_it(asked, simulator):
    assert asked.post(f"/{SECRET}/tell", json={"set": "weeks", "value": "3"}).status_code == 204
    assert simulator.config.weeks == 3


def test_message_when_the_setting_is_refused_then_the_page_is_told_why(asked, simulator):
    asked.post(f"/{SECRET}/tell", json={"set": "weeks", "value": "many"})
    assert "'many' was typed" in simulator.view.refused


@pytest.mark.parametrize(("body", "status"), [(b"{cut off", 400), (b"1" * 20_000, 413)])
def test_message_when_it_is_none_then_is_refused(asked, body, status):
    assert asked.post(f"/{SECRET}/tell", content=body).status_code == status


def test_recording_when_nothing_has_run_then_says_so_and_after_a_run_is_its_page(asked, simulator):
    assert "There is no run to save." in asked.get(f"/{SECRET}/recording").text
    simulator.run()
    kept = asked.get(f"/{SECRET}/recording")
    assert 'filename="good.html"' in kept.headers["content-disposition"]
    assert "Good data: 1 week, seed 0" in kept.text


def test_listen_when_the_port_is_taken_then_says_what_to_do():
    with socket.create_server((standalone.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CourseError, match=f"Port {port} cannot be used"):
            standalone.listen(port)


@pytest.mark.parametrize("port", [-1, 99_999])
def test_listen_when_there_is_no_such_port_then_says_what_to_do(port):
    with pytest.raises(CourseError, match="Leave --port out"):
        standalone.listen(port)


@pytest.fixture(scope="module")
def alone(browser, tmp_path_factory, template_cache):
    home = tmp_path_factory.mktemp("alone") / "workspace"
    with running_alone(home, template_cache, "--scenario", "drift") as started:
        yield started


@pytest.fixture(scope="module")
def small(browser, alone):
    """The page at 200% zoom of a window 960 pixels wide, on a system that asks for less motion."""
    context = browser.new_context(
        viewport={"width": 480, "height": 640}, device_scale_factor=2, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(alone.address)
    page.wait_for_selector(".mls[data-mode=idle]")
    yield page
    context.close()


@pytest.mark.browser
def test_page_when_the_drift_runs_then_the_alert_is_shown_in_every_window_and_nothing_is_cut(
    browser, small, alone
):
    large = browser.new_page(viewport={"width": 1920, "height": 1080})
    large.set_default_timeout(PATIENCE_MS)
    large.goto(alone.address)
    large.get_by_label("Pace").select_option("quick")
    assert small.evaluate(TOO_WIDE) == []
    large.get_by_role("button", name="Run pipeline").click()
    large.wait_for_function(f"() => ({MOVING})() > 0")
    assert small.evaluate(MOVING) == 0
    small.wait_for_selector(".mls[data-mode=running]")
    assert small.evaluate(TOO_WIDE) == []
    for page in (small, large):
        page.wait_for_selector(".mls[data-mode=finished]")
        page.locator(".mls-log li[data-kind=alert]").first.wait_for()
        assert page.evaluate(MOVING) == 0 or page is large
        page.get_by_role("button", name="Train").first.click()
        assert page.evaluate(TOO_WIDE) == []
    small.set_viewport_size({"width": 640, "height": 640})
    assert small.evaluate(TOO_WIDE) == []
    assert large.evaluate("document.body.style.zoom") > "1.5"


@pytest.mark.browser
def test_program_when_interrupted_in_mid_run_then_ends_all_it_started_and_the_page_says_so(
    small, alone
):
    small.locator(".mls-run").click()
    small.wait_for_selector(".mls[data-mode=running]")
    alone.process.send_signal(signal.SIGINT)
    assert alone.process.wait(20) == 0
    assert wait_for_no_scorers(HOME_VARIABLE, str(alone.home), seconds=10) == []
    small.wait_for_selector(".mls[data-mode=lost]")
    assert "Start it again" in small.locator(".mls-status").inner_text()
