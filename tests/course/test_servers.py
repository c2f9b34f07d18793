import subprocess
import sys
import time

import psutil
import pytest

from mlops_course.core.errors import ServiceError
from mlops_course.course import servers
from mlops_course.course.servers import running, started
from mlops_course.serving.client import send


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
    source = "import sys, time; from mlops_course.course.servers import running\n"
    source += f"with running({command!r}, {url!r}):\n    print('up', flush=True); time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "up\n"
    owner.kill()
    owner.communicate()
    assert gone(command[-1])


def test_running_when_the_server_never_answers_then_one_error_and_nothing_is_left(monkeypatch):
    monkeypatch.setattr(servers, "READY_SECONDS", 0.5)
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
    assert time.monotonic() - before < 0.5 * servers.READY_SECONDS


def test_started_when_killed_then_it_is_gone_at_once_and_the_block_goes_on(other):
    command, url = other
    with started(command, url) as server:
        server.wait()
        assert [answer.content for answer in send(url, [b"a"])] == [b"a"]
        server.kill()
        assert gone(command[-1])
        with pytest.raises(ServiceError, match="Nobody answers"):
            send(url, [b"b"])


def test_started_when_two_are_started_at_once_then_each_is_waited_for_and_both_end(other):
    command, url = other
    idle = [sys.executable, "-c", "import time; time.sleep(60)", "beside"]
    with started(idle, url), started(command, url) as server:
        server.wait()
        assert that_run("beside")
    assert gone("beside") and gone(command[-1])
