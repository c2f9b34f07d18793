import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from mlops_course.alerting.alerts import Alert
from mlops_course.alerting.notifier import (
    FIRST_WAIT,
    KEY_HEADER,
    LONGEST_WAIT,
    PATIENCE_SECONDS,
    Outbox,
    payload,
)
from mlops_course.core.errors import ParameterError, WorkspaceError


class Receiver:
    """A real webhook on loopback that answers as it is told, and keeps what it took."""

    def __init__(self):
        self.status = 200
        self.delay = 0.0
        self.asked = []
        self.taken = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.append(self.headers[KEY_HEADER])
                time.sleep(receiver.delay)
                if receiver.status == 200:
                    receiver.taken.setdefault(self.headers[KEY_HEADER], json.loads(body))
                try:
                    self.send_response(receiver.status)
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(tmp_path, receiver, clock):
    return Outbox(tmp_path / "notifications.db", receiver.url, clock)


def alert(rule="accuracy", since="week 1", window="week 1"):
    return Alert(rule, window, since, 0.8, 0.9, "Low.", "page", "on call", "Look.")


def put(outbox, one):
    return outbox.put(one, payload(one, "3", ("dep_delay",), ()))


def test_payload_when_an_alert_fires_then_names_who_acts_and_where_to_look():
    body = payload(alert(), "3", ("a", "b", "c", "d"), ("A fault.",))
    assert (body["severity"], body["owner"], body["next"]) == ("page", "on call", "Look.")
    assert body["inputs_moved"] == ["a", "b", "c"] and body["data_checks_failed"] == ["A fault."]


def test_outbox_when_an_episode_lasts_then_the_team_is_told_once(outbox, receiver):
    assert put(outbox, alert())
    assert not put(outbox, alert(window="week 2"))
    assert outbox.deliver() == 1 and outbox.deliver() == 0
    assert put(outbox, alert(since="week 7", window="week 7")) and outbox.deliver() == 1
    assert list(receiver.taken) == ["accuracy, since week 1", "accuracy, since week 7"]
    assert receiver.taken["accuracy, since week 1"]["text"] == "Low."


@pytest.mark.parametrize("status", [500, 503, 429, 404, 302])
def test_outbox_when_the_receiver_fails_then_waits_ever_longer_and_nothing_is_lost(
    outbox, receiver, clock, status
):
    put(outbox, alert())
    receiver.status = status
    for tries in range(16):
        assert outbox.deliver() == 0 and len(receiver.asked) == tries + 1
        wait = PATIENCE_SECONDS + min(FIRST_WAIT * 2**tries, LONGEST_WAIT)
        clock.now += wait - 0.5
        assert outbox.deliver() == 0 and len(receiver.asked) == tries + 1
        clock.now += 0.5
    receiver.status = 200
    assert outbox.deliver() == 1 and len(receiver.taken) == 1
    assert outbox.messages()[0].tries == 17


def test_outbox_when_the_receiver_is_down_then_goes_on_and_delivers_later(
    tmp_path, receiver, clock
):
    free = httpx.URL(receiver.url).port
    receiver.close()
    outbox = Outbox(tmp_path / "n.db", f"http://127.0.0.1:{free}/hook", clock)
    put(outbox, alert())
    begun = time.monotonic()
    assert outbox.deliver() == 0 and time.monotonic() - begun < PATIENCE_SECONDS + 1
    assert [message.state for message in outbox.messages()] == ["waiting"]


def test_outbox_when_the_receiver_is_slow_then_its_second_message_has_the_same_key(
    outbox, receiver, clock, monkeypatch
):
    monkeypatch.setattr("mlops_course.alerting.notifier.PATIENCE_SECONDS", 0.2)
    put(outbox, alert())
    receiver.delay = 0.6
    assert outbox.deliver() == 0
    receiver.delay = 0
    clock.now += 10
    assert outbox.deliver() == 1
    assert receiver.asked == ["accuracy, since week 1"] * 2 and len(receiver.taken) == 1


def test_outbox_when_somebody_is_at_it_then_new_episodes_are_kept_and_not_sent(
    outbox, receiver, clock
):
    outbox.acknowledge("accuracy", hours=2)
    assert put(outbox, alert()) and put(outbox, alert("volume"))
    assert outbox.deliver() == 1 and list(receiver.taken) == ["volume, since week 1"]
    clock.now += 3 * 3_600
    assert outbox.deliver() == 0
    assert put(outbox, alert(since="week 5", window="week 5")) and outbox.deliver() == 1
    assert [message.state for message in outbox.messages()] == [
        "silenced",
        "delivered",
        "delivered",
    ]


def test_outbox_when_a_program_ends_before_the_answer_then_another_sends_it_again(
    outbox, receiver, clock, tmp_path
):
    put(outbox, alert())
    assert outbox._claim() is not None
    other = Outbox(tmp_path / "notifications.db", receiver.url, clock)
    assert other.deliver() == 0
    clock.now += PATIENCE_SECONDS + FIRST_WAIT
    assert other.deliver() == 1


def test_outbox_when_many_programs_deliver_at_once_then_each_message_is_sent_once(
    tmp_path, receiver
):
    path = tmp_path / "notifications.db"
    outbox = Outbox(path, receiver.url)
    for number in range(20):
        put(outbox, alert(f"rule {number}"))
    threads = [threading.Thread(target=Outbox(path, receiver.url).deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receiver.asked) == sorted(f"rule {number}, since week 1" for number in range(20))


def test_outbox_when_address_or_file_are_none_then_says_so(tmp_path):
    with pytest.raises(ParameterError, match="http"):
        Outbox(tmp_path / "n.db", "example")
    (tmp_path / "broken.db").write_bytes(b"no database, and long enough to be read as one" * 50)
    for place in (tmp_path / "nowhere" / "n.db", tmp_path / "broken.db"):
        with pytest.raises(WorkspaceError, match="outbox"):
            Outbox(place, "http://127.0.0.1:9/hook")
