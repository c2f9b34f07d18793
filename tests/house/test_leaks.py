"""The check for services that outlive the tests is not silent while one runs."""

import os

from marked import SESSION_VARIABLE
from processes import scorers


def test_leak_check_when_a_service_runs_then_finds_it(service):
    service.start()
    assert service.pid in scorers(SESSION_VARIABLE, os.environ[SESSION_VARIABLE])
