import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from mlops_course.core.errors import ServiceError
from mlops_course.course.servers import free_port, running
from mlops_course.serving import client
from mlops_course.serving.client import asking, fetch, insist, send, send_at_once


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
    monkeypatch.setattr(client, "READY_SECONDS", 0.3)
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
