"""Clients that ask and take no answer, or take it byte by byte: none keeps a place for ever."""

import socket
import threading
import time
from contextlib import closing, suppress

import pytest
import uvicorn

from mlops_course.serving import edge

SECONDS = 0.5
# Enough that the system's own buffers do not take all of the answers to `ASKED`.
ANSWER = b"x" * 400_000
ASKED = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100


class App:
    """An app that gives everybody the same large answer, and counts those it is busy with."""

    def __init__(self):
        self.busy = 0
        self.most = 0

    async def __call__(self, scope, receive, send):
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            length = str(len(ANSWER)).encode()
            headers = [(b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": ANSWER})
        finally:
            self.busy -= 1


@pytest.fixture
def served(monkeypatch):
    """An app behind the service's connections, whose patience is short: app, server, address."""
    monkeypatch.setattr(edge, "IDLE_SECONDS", SECONDS)
    app = App()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=edge.Connection, ws="none", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield app, server, listener.getsockname()
    server.force_exit = True
    server.should_exit = True
    thread.join()
    listener.close()


def wait_until(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("taken", [0, 1, 1_000])
def test_connection_when_its_client_hardly_takes_the_answers_then_ends_and_its_place_is_free(
    served, taken
):
    app, server, address = served
    over = threading.Event()

    def take():
        with suppress(OSError):
            while taken and not over.wait(SECONDS / 10):
                client.recv(taken)

    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(address)
        client.sendall(ASKED)
        reader = threading.Thread(target=take)
        reader.start()
        assert wait_until(lambda: app.busy == 1, 5)
        ended = wait_until(lambda: not server.server_state.connections, 20 * SECONDS)
        over.set()
        reader.join()
    assert ended and wait_until(lambda: app.busy == 0, 5)


def test_connection_when_its_client_takes_the_answers_slowly_then_gets_them_all(served):
    _, _, address = served
    with closing(socket.create_connection(address, timeout=5)) as client:
        client.sendall(ASKED[: len(ASKED) // 100] * 3)
        got = 0
        begun = time.monotonic()
        while got < 3 * len(ANSWER):
            part = client.recv(50_000)
            assert part
            got += len(part)
            time.sleep(SECONDS / 25)
    assert time.monotonic() - begun > SECONDS / 2
