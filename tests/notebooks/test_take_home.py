"""The files beside the notebooks work as they are, in a folder of their own."""

import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import httpx
import numpy as np
import pandas as pd
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def receiver():
    made = run_path(str(NOTEBOOKS / "07_receiver.py"))["Receiver"](refusals=1).start()
    yield made
    made.shutdown()
    made.server_close()


def test_receiver_when_a_message_comes_twice_then_is_kept_once(receiver):
    first, second = ({"Idempotency-Key": name} for name in ("one", "two"))
    answers = [
        httpx.post(receiver.url, json={"text": "a"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "a"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "changed"}, headers=first).status_code,
        httpx.post(receiver.url, json={"text": "b"}, headers=second).status_code,
    ]
    assert answers == [500, 200, 200, 200]
    assert receiver.taken == {"one": {"text": "a"}, "two": {"text": "b"}}
    assert httpx.URL(receiver.url).host == "127.0.0.1"


def test_receiver_when_run_by_itself_then_says_where_it_listens(tmp_path):
    shutil.copy(NOTEBOOKS / "07_receiver.py", tmp_path)
    with subprocess.Popen(
        [sys.executable, "07_receiver.py", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            url = program.stdout.readline().strip()
            answer = httpx.post(url, json={}, headers={"Idempotency-Key": "one"})
            assert answer.status_code == 200
        finally:
            program.kill()


def test_dashboard_when_given_a_table_then_draws_what_is_wrong_and_stays_small(tmp_path):
    shutil.copy(NOTEBOOKS / "07_dashboard.py", tmp_path)
    panels = run_path(str(NOTEBOOKS / "07_dashboard.py"))["PANELS"]
    assert len(panels) == 8
    days = pd.date_range("2024-01-01", periods=60)
    fine = {
        column: np.full(60, limit + (0.1 if side == "below" else -0.1) * limit)
        for _, column, limit, side in panels
    }
    figures = pd.DataFrame(fine, index=days)
    figures.iloc[10:13, 1] = 1.0
    figures.iloc[20, 2] = np.nan
    figures.to_csv(tmp_path / "figures.csv")
    command = [sys.executable, "07_dashboard.py", "figures.csv", "dashboard.png"]
    subprocess.run(command, cwd=tmp_path, check=True)
    size = (tmp_path / "dashboard.png").stat().st_size
    assert 20_000 < size < 1_000_000
    draw = run_path(str(NOTEBOOKS / "07_dashboard.py"))["draw"]
    titles = [axis.get_title() for axis in draw(figures).axes]
    assert titles[1] == "Flights unanswered: 3 days wrong"
    assert all(title.endswith(": fine") for title in titles if title != titles[1])
