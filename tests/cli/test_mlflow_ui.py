"""MLflow's web interface: the command that jupyter-server-proxy runs, started for real."""

import os
import socket
import subprocess
import time
from importlib.metadata import entry_points

import httpx
import psutil
import pytest
from processes import end_family

from mlops_course.cli import mlflow_ui
from mlops_course.core.workspace import HOME_VARIABLE, default_home, open_lessons
from mlops_course.training import tracking

SECONDS_TO_START = mlflow_ui.START_SECONDS


@pytest.fixture
def home(tmp_path, monkeypatch, template_cache):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return default_home()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask_until_up(process: "subprocess.Popen[bytes]", client: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/health").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    pytest.fail(f"MLflow did not answer within {SECONDS_TO_START} s")


def test_entry_point_when_looked_up_then_gives_settings_that_wait_long_enough():
    (entry,) = entry_points(group="jupyter_serverproxy_servers", name="mlflow")
    settings = entry.load()()
    assert settings["timeout"] >= 60
    assert settings["command"] is mlflow_ui.command


def test_command_when_asked_for_then_names_the_lessons_workspace_and_this_machine_alone(home):
    words = mlflow_ui.command(port=1)
    options = dict(zip(words[4::2], words[5::2], strict=True))
    lessons = open_lessons()
    assert options["--host"] == "127.0.0.1"
    assert options["--workers"] == "1"
    assert options["--backend-store-uri"] == lessons.tracking_uri
    assert options["--default-artifact-root"] == lessons.artifacts.as_uri()


@pytest.mark.slow
def test_server_when_started_then_serves_page_and_runs_slimly_and_leaves_no_process(home):
    store = tracking.connect(open_lessons())
    run_id = store.client.create_run(store.experiment_id, run_name="seen").info.run_id
    port = free_port()
    process = subprocess.Popen(
        mlflow_ui.command(port),
        env={**os.environ, **mlflow_ui.ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        family = psutil.Process(process.pid)
        headers = {"Host": "hub.example.org", "Origin": "https://hub.example.org"}
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            ask_until_up(process, client)
            assert "MLflow" in client.get("/").text
            found = client.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id})
            assert found.json()["run"]["info"]["run_name"] == "seen"
            wanted = {"experiment_ids": [store.experiment_id]}
            assert client.post("/api/2.0/mlflow/runs/search", json=wanted).status_code == 200
        members = [family, *family.children(recursive=True)]
        assert len(members) <= 3
    finally:
        end_family(process.pid)
    assert not any(member.is_running() for member in members)
