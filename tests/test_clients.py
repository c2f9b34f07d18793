import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import psutil
import pytest

from mlops_course import clients
from mlops_course.clients import (
    asking,
    fetch,
    free_port,
    insist,
    running,
    send,
    send_at_once,
    send_while_running,
)
from mlops_course.errors import ServiceError

# A server that starts another process, as MLflow's does, and answers what it was sent.
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]])
"""
ECHO = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(b"")
    def do_POST(self):
        self.reply(self.rfile.read(int(self.headers["content-length"])))
    def reply(self, text):
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""


@pytest.fixture
def other():
    """The command of a server that is not ours, and where it will listen."""
    port = free_port()
    return [sys.executable, "-c", PARENT, ECHO, str(port)], f"http://127.0.0.1:{port}"


@pytest.fixture
def moody():
    """A server that is not ready for its first three requests."""
    asked = []

    class Moody(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(503 if len(asked) <= 3 else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def that_run(word):
    """Return the processes with a word on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if word in (process.info["cmdline"] or ()) and process.info["status"] != "zombie":
            found.append(process)
    return found


def gone(word, seconds=10):
    deadline = time.monotonic() + seconds
    while that_run(word) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not that_run(word)


def test_running_when_the_block_ends_then_the_server_and_its_children_are_gone(other):
    command, url = other
    with running(command, url):
        assert len(that_run(command[-1])) >= 2
        assert [answer.content for answer in send(url, [b"a", b"b"])] == [b"a", b"b"]
    assert gone(command[-1])


def test_running_when_the_block_raises_then_the_server_is_gone(other):
    command, url = other
    with pytest.raises(ZeroDivisionError), running(command, url):
        raise ZeroDivisionError
    assert gone(command[-1])


def test_running_when_its_owner_is_killed_then_the_server_is_gone(other):
    command, url = other
    source = "import sys, time; from mlops_course.clients import running\n"
    source += f"with running({command!r}, {url!r}):\n    print('up', flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "up\n"
    owner.kill()
    owner.communicate()
    assert gone(command[-1])


def test_running_when_the_server_never_answers_then_one_error_and_nothing_is_left(monkeypatch):
    monkeypatch.setattr(clients, "READY_SECONDS", 0.5)
    word = "never-ready"
    command = [sys.executable, "-c", "import time; time.sleep(60)", word]
    with pytest.raises(ServiceError, match="was not ready"), running(command, "http://127.0.0.1:9"):
        pass
    assert gone(word)


@pytest.mark.parametrize("command", [["no-such-program"], [sys.executable, "-c", "1 / 0"]])
def test_running_when_the_command_ends_at_once_then_says_so_and_does_not_wait(command):
    before = time.monotonic()
    ended = pytest.raises(ServiceError, match="ended before it was ready")
    with ended, running(command, "http://127.0.0.1:9"):
        pass
    assert time.monotonic() - before < 0.5 * clients.READY_SECONDS


def test_send_while_running_when_called_then_answers_and_leaves_nothing(other):
    command, url = other
    assert [answer.content for answer in send_while_running(command, url, [b"x"])] == [b"x"]
    assert gone(command[-1])


def test_send_at_once_when_dealt_out_then_answers_come_in_the_order_of_the_bodies(other):
    command, url = other
    bodies = [str(number).encode() for number in range(23)]
    with running(command, url):
        answers = send_at_once(url, bodies, 4)
    assert [answer.content for answer in answers] == bodies


def test_send_when_nobody_listens_then_says_so_in_three_sentences():
    with pytest.raises(ServiceError, match=r"Nobody answers at .*Run the cell again"):
        send(f"http://127.0.0.1:{free_port()}", [b""])


def test_fetch_when_called_then_gets_the_page_or_says_that_nobody_answers(other):
    command, url = other
    with running(command, url):
        assert fetch(url, "/metrics").status_code == 200
    with pytest.raises(ServiceError, match=r"Nobody answers at .*and those after it"):
        fetch(url, "/metrics")


def test_insist_when_the_service_is_not_ready_then_asks_until_it_is(moody, monkeypatch):
    answers = insist(moody, [b"a", b"b", b"c"], 2)
    assert [answer.status_code for answer in answers] == [200] * 3
    monkeypatch.setattr(clients, "READY_SECONDS", 0.3)
    with pytest.raises(ServiceError, match="Nobody answered"):
        insist(f"http://127.0.0.1:{free_port()}", [b""])


def test_send_when_ids_are_given_then_each_request_has_its_own(other):
    command, url = other
    with running(command, url):
        for answers in (send(url, [b"a", b"b"], ["1", "2"]), insist(url, [b"a", b"b"], 2, "12")):
            assert [answer.request.headers["x-request-id"] for answer in answers] == ["1", "2"]
        with pytest.raises(ValueError, match="shorter"):
            send(url, [b"a", b"b"], ["1"])


def test_asking_when_nobody_listens_then_that_is_told_and_it_ends_with_the_block():
    with asking(f"http://127.0.0.1:{free_port()}", [b""]) as answers:
        time.sleep(0.3)
    count = len(answers)
    assert count and {(answer.status, answer.version) for answer in answers} == {(0, "")}
    time.sleep(0.2)
    assert len(answers) == count
