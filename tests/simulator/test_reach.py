"""The simulator in other front ends than JupyterLab: Notebook 7 and Voila."""

import os
import subprocess
import sys
import time

import httpx
import nbformat
import pytest
from executor import FIXED
from lab import KERNEL_IS_IDLE, running_lab
from nbformat.v4 import new_code_cell, new_notebook
from processes import end_family

from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.course.servers import free_port

PATIENCE_MS = 90_000
START_SECONDS = 60
CELL = """\
from mlops_course import PipelineSimulator

PipelineSimulator("drift", pace="instant")"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"

pytestmark = pytest.mark.browser


@pytest.fixture
def folder(tmp_path):
    """A folder with a notebook that shows a simulator and has not been run."""
    made = tmp_path / "notebooks"
    made.mkdir()
    book = new_notebook(cells=[new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, made / "simulator.ipynb")
    return made


@pytest.fixture
def page(browser):
    """A page that reaches this machine only."""
    opened = browser.new_page(viewport={"width": 1200, "height": 1000})
    opened.set_default_timeout(PATIENCE_MS)
    opened.route(lambda url: "://127.0.0.1:" not in url, lambda route: route.abort())
    yield opened
    opened.close()


def run_the_drift(page) -> None:
    """Press the button, wait for the end, and read the alert."""
    page.wait_for_selector(".mls[data-mode=idle]")
    assert page.locator(".mls-kept:visible").count() == 0
    page.get_by_role("button", name="Run pipeline").click()
    page.wait_for_selector(".mls[data-mode=finished]")
    page.locator(".mls-log li[data-kind=alert]").first.wait_for()


def test_notebook_7_when_the_drift_runs_then_the_alert_can_be_read(
    page, folder, tmp_path, template_cache
):
    shown = "--JupyterNotebookApp.expose_app_in_browser=True"
    with running_lab(tmp_path / "server", folder, template_cache, shown, program="notebook") as lab:
        page.goto(f"{lab.url}notebooks/simulator.ipynb?token={lab.token}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(KERNEL_IS_IDLE)
        page.evaluate(RUN_ALL)
        run_the_drift(page)


def test_voila_when_the_drift_runs_then_the_alert_can_be_read(page, folder, workspace):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "voila", "simulator.ipynb", "--no-browser", f"--port={port}"],
        cwd=folder,
        env={**os.environ, **FIXED, HOME_VARIABLE: str(workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/voila/static/main.js", process)
        page.goto(f"http://127.0.0.1:{port}/")
        run_the_drift(page)
    finally:
        end_family(process.pid)


def wait_until_up(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers anything at all."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            httpx.get(address, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"nothing answers at {address}")
