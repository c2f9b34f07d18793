"""MLflow's web interface: the command that jupyter-server-proxy runs, started for real."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import psutil
import pytest
from processes import end_family

from mlops_course.cli import mlflow_ui
from mlops_course.core.workspace import HOME_VARIABLE, open_lessons
from mlops_course.training import tracking

SECONDS_TO_START = mlflow_ui.START_SECONDS
HUB = "https://hub.example"
CREATE_RUN = "/ajax-api/2.0/mlflow/runs/create"
needs_sockets = pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets there")


@dataclass(frozen=True)
class Server:
    """A started server, as the proxy meets it, and the lessons' store behind it."""

    process: psutil.Process
    proxy: httpx.Client
    store: tracking.Store
    run_id: str

    def run_names(self) -> set[str]:
        """Return the names of all runs in the store."""
        runs = self.store.client.search_runs([self.store.experiment_id])
        return {run.info.run_name for run in runs}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask_until_up(process: "subprocess.Popen[bytes]", client: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/health")
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    pytest.fail(f"MLflow did not answer within {SECONDS_TO_START} s")


@pytest.fixture(scope="module")
def home(tmp_path_factory, template_cache) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("ui") / "home"
        patch.setenv(HOME_VARIABLE, str(place))
        yield place


@pytest.fixture(scope="module", params=[pytest.param("socket", marks=needs_sockets), "port"])
def server(request, home) -> Iterator[Server]:
    """The server behind a Unix socket, then behind a port; one for all tests here."""
    store = tracking.connect(open_lessons())
    run_id = store.client.create_run(store.experiment_id, run_name="seen").info.run_id
    store.client.log_text(run_id, "what the run left", "note.txt")
    settings = mlflow_ui.settings()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket") if request.param == "socket" else ""
        port = free_port()
        process = subprocess.Popen(
            mlflow_ui.command(port, path),
            env={**os.environ, **settings["environment"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            transport = httpx.HTTPTransport(uds=path) if path else None
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                transport=transport,
                headers=settings["request_headers_override"],
                trust_env=False,
            ) as proxy:
                ask_until_up(process, proxy)
                yield Server(psutil.Process(process.pid), proxy, store, run_id)
        finally:
            end_family(process.pid)
    assert process.poll() is not None


def new_run(server: Server, name: str) -> dict[str, object]:
    return {"experiment_id": server.store.experiment_id, "run_name": name}


def test_entry_point_when_looked_up_then_gives_settings_that_wait_long_enough():
    (entry,) = entry_points(group="jupyter_serverproxy_servers", name="mlflow")
    settings = entry.load()()
    assert settings["timeout"] >= 60
    assert settings["command"] is mlflow_ui.command
    assert settings["unix_socket"] is (sys.platform != "win32")


def test_entry_points_when_looked_up_then_each_store_has_a_tile_of_its_own():
    found = entry_points(group="jupyter_serverproxy_servers")
    tiles = {entry.name: entry.load()() for entry in found if entry.name.startswith("mlflow")}
    titles = {name: tile["launcher_entry"]["title"] for name, tile in tiles.items()}
    assert titles == {"mlflow": "MLflow: lessons", "mlflow-simulator": "MLflow: simulator"}
    stores = {tile["environment"][mlflow_ui.STORE_VARIABLE] for tile in tiles.values()}
    assert stores == set(mlflow_ui.STORES)


def test_settings_when_asked_for_twice_then_the_secrets_differ():
    secrets = {mlflow_ui.settings()["environment"][mlflow_ui.SECRET_VARIABLE] for _ in range(2)}
    assert len(secrets) == 2
    assert min(map(len, secrets)) >= 32


def test_command_when_there_are_sockets_then_opens_no_port(home):
    words = mlflow_ui.command(port=0, unix_socket="/a/socket")
    assert words[words.index("--uds") + 1] == "/a/socket"
    assert not {"--host", "--port"} & set(words)


def test_command_when_there_are_no_sockets_then_listens_on_this_machine_alone(home):
    words = mlflow_ui.command(port=1, unix_socket="")
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert "--uds" not in words


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("POST", {}, False),
        ("POST", {"sec-fetch-site": "same-origin", "origin": HUB, "host": "inside"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"origin": HUB, "host": "hub.example"}, False),
        ("POST", {"origin": "http://hub.example:8888", "host": "hub.example:8888"}, False),
        ("PUT", {"origin": "http://hub.example:1", "host": "hub.example:8888"}, True),
        ("PATCH", {"origin": "https://other.example", "host": "hub.example"}, True),
        ("DELETE", {"origin": "null", "host": "hub.example"}, True),
        ("POST", {"origin": "http://[", "host": "hub.example"}, True),
        ("POST", {"origin": "", "host": "hub.example"}, True),
    ],
)
def test_change_when_another_page_asks_for_it_then_is_told_apart(method, headers, refused):
    assert mlflow_ui.is_change_from_another_page(method, headers) is refused


@pytest.mark.slow
def test_server_when_asked_by_the_proxy_then_serves_page_runs_and_artifacts(server):
    client = server.proxy
    assert "MLflow" in client.get("/").text
    found = client.get("/api/2.0/mlflow/runs/get", params={"run_id": server.run_id})
    assert found.json()["run"]["info"]["run_name"] == "seen"
    wanted = {"run_id": server.run_id, "path": "note.txt"}
    assert client.get("/get-artifact", params=wanted).text == "what the run left"


@pytest.mark.slow
def test_server_when_its_own_page_changes_something_behind_a_hub_then_obeys(server):
    page = {"Host": "hub.example", "Origin": HUB}
    answer = server.proxy.post(CREATE_RUN, json=new_run(server, "by the page"), headers=page)
    assert answer.status_code == 200
    assert "by the page" in server.run_names()


@pytest.mark.slow
def test_server_when_the_secret_is_missing_or_wrong_then_says_403_to_everything(server):
    outside = {"Host": "evil.example", "Origin": "https://evil.example"}
    for secret in ("", "guessed", "\xff"):
        shown = {mlflow_ui.SECRET_HEADER: secret.encode("latin-1"), **outside}
        for address in ("/", "/health", "/version", "/get-artifact", "/graphql"):
            assert server.proxy.get(address, headers=shown).status_code == 403
        planted = server.proxy.post(CREATE_RUN, json=new_run(server, "planted"), headers=shown)
        assert planted.status_code == 403
        assert "JupyterLab's launcher" in planted.text
    assert "planted" not in server.run_names()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        {"Origin": "https://evil.example", "Host": "hub.example"},
        {"Origin": "http://localhost:3000", "Host": "localhost:8888"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
    ],
)
def test_server_when_another_page_asks_through_the_proxy_then_changes_nothing(server, page):
    wanted = {"run_uuid": server.run_id, "path": "planted.txt"}
    asked = [
        server.proxy.post(CREATE_RUN, json=new_run(server, "planted"), headers=page),
        server.proxy.post(
            "/ajax-api/2.0/mlflow/upload-artifact", params=wanted, content="evil", headers=page
        ),
        server.proxy.post("/graphql", json={"query": "{ __typename }"}, headers=page),
    ]
    assert [answer.status_code for answer in asked] == [403] * 3
    assert "planted" not in server.run_names()
    left = server.store.client.list_artifacts(server.run_id)
    assert [artifact.path for artifact in left] == ["note.txt"]


@pytest.mark.slow
def test_server_when_started_then_is_one_process_and_listens_in_one_place(server):
    assert server.process.children(recursive=True) == []
    listening = [
        place.laddr.ip
        for place in server.process.net_connections(kind="inet")
        if place.status == psutil.CONN_LISTEN
    ]
    sockets = server.process.net_connections(kind="unix") if sys.platform != "win32" else []
    behind_socket = any(str(place.laddr).endswith("/socket") for place in sockets)
    assert listening == ([] if behind_socket else ["127.0.0.1"])
