"""MLflow as a learner meets it: JupyterLab's launcher, a click, a run read and another made.

Once under this machine's own name and once under a hub's, and with a page of another address that
tries to come in with the learner's cookie.
"""

import stat
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from executor import NOTEBOOKS
from lab import Lab, running_lab

from mlops_course.core.workspace import open_workspace
from mlops_course.training import tracking

PATIENCE_MS = 120_000
HUB = "hub.example"
LAUNCHER_CARD = ".jp-LauncherCard[title^='MLflow: {}']"
CREATE_RUN = """
async ([experiment, name]) => {
    const body = JSON.stringify({experiment_id: experiment, run_name: name});
    const headers = {"Content-Type": "application/json"};
    const answer = await fetch("ajax-api/2.0/mlflow/runs/create", {method: "POST", headers, body});
    return answer.status;
}
"""
SEND_A_FORM = """
(address) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", enctype: "text/plain", action: address});
    form.innerHTML = "<input name=evil value=yes>";
    document.body.append(form);
    form.submit();
}
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, template_cache) -> Iterator[Lab]:
    names = f"--ServerApp.local_hostnames=['localhost', '{HUB}']"
    with running_lab(tmp_path_factory.mktemp("lab"), NOTEBOOKS, template_cache, names) as started:
        yield started


@pytest.fixture(scope="module")
def store(lab) -> tracking.Store:
    """The lessons' store, in the workspace of that JupyterLab."""
    home = open_workspace(lab.home)
    return tracking.connect(open_workspace(home.lessons, cache=home.cache))


@pytest.fixture(scope="module")
def run_id(store) -> str:
    made = store.client.create_run(store.experiment_id, run_name="seen-by-name").info.run_id
    store.client.log_text(made, "what the run left", "note.txt")
    store.client.set_terminated(made)
    return made


@pytest.fixture(params=["127.0.0.1", HUB])
def learner(request, browser, lab):
    """A browser of a learner's own, logged in under one name; and that name's address."""
    address = urlsplit(lab.url)
    url = address._replace(netloc=f"{request.param}:{address.port}").geturl()
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}lab?reset&token={lab.token}")
    yield page, url
    context.close()


@pytest.fixture(scope="module")
def other_port(tmp_path_factory) -> Iterator[int]:
    """The port of a server with somebody else's page."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "index.html").write_text("<p>Nothing to see here.</p>", encoding="utf-8")
    show = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), show) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_mlflow_when_opened_from_the_launcher_then_shows_runs_and_makes_one(learner, store, run_id):
    page, url = learner
    with page.expect_popup() as opened:
        page.locator(LAUNCHER_CARD.format("lessons")).click()
    mlflow = opened.value
    mlflow.goto(f"{url}mlflow/#/experiments/{store.experiment_id}/runs")
    mlflow.get_by_text("seen-by-name").first.wait_for()
    mlflow.goto(f"{url}mlflow/#/experiments/{store.experiment_id}/runs/{run_id}/artifacts/note.txt")
    mlflow.get_by_text("what the run left").first.wait_for()
    name = f"made under {urlsplit(url).hostname}"
    assert mlflow.evaluate(CREATE_RUN, [store.experiment_id, name]) == 200
    runs = store.client.search_runs([store.experiment_id])
    assert name in {run.info.run_name for run in runs}


def test_mlflow_of_the_simulator_when_opened_then_shows_its_runs_and_not_the_lessons(
    browser, lab, run_id
):
    simulators = tracking.connect(open_workspace(lab.home))
    made = simulators.client.create_run(simulators.experiment_id, run_name="a run of the loop")
    simulators.client.set_terminated(made.info.run_id)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{lab.url}lab?reset&token={lab.token}")
    with page.expect_popup() as opened:
        page.locator(LAUNCHER_CARD.format("simulator")).click()
    mlflow = opened.value
    address = f"{lab.url}mlflow-simulator/#/experiments/{simulators.experiment_id}/runs"
    mlflow.goto(address)
    mlflow.get_by_text("a run of the loop").first.wait_for()
    assert mlflow.get_by_text("seen-by-name").count() == 0
    mlflow.close()
    page.close()


def test_other_page_when_it_sends_the_learners_cookie_then_changes_nothing(
    learner, store, run_id, other_port
):
    page, url = learner
    page.goto(f"http://{urlsplit(url).hostname}:{other_port}/")
    address = f"{url}mlflow/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=planted"
    with page.expect_navigation() as opened:
        page.evaluate(SEND_A_FORM, address)
    assert opened.value.status == 403
    assert "sent by a page of another address" in opened.value.text()
    left = store.client.list_artifacts(run_id)
    assert [artifact.path for artifact in left] == ["note.txt"]


def test_mlflow_when_asked_without_the_token_then_is_not_shown(lab):
    with httpx.Client(base_url=lab.url, trust_env=False) as stranger:
        assert stranger.get("mlflow/").status_code == 302
        assert stranger.post("mlflow/graphql", json={}).status_code in (302, 403)
        headers = {"Authorization": f"token {lab.token}", "Host": "evil.example"}
        assert stranger.get("mlflow/", headers=headers).status_code == 403


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets there")
def test_mlflow_when_started_by_the_launcher_then_nobody_else_may_enter_its_folder(lab):
    headers = {"Authorization": f"token {lab.token}"}
    httpx.get(f"{lab.url}mlflow/", headers=headers, trust_env=False, timeout=90)
    commands = [process.cmdline() for process in lab.process.children(recursive=True)]
    started = [words for words in commands if "--uds" in words]
    assert started
    for command in started:
        folder = Path(command[command.index("--uds") + 1]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == psutil.Process().uids().real
