"""A run on a thread of its own: what it may load there."""

import subprocess
import sys

import pytest

# A simulator is made in a cell, and its run ordered before and after it has loaded its libraries.
CELL = """
import asyncio
import sys
import threading
from importlib.abc import MetaPathFinder

apart = []


class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            apart.append(name)


async def cell(folder, seconds):
    from mlops_course import PipelineSimulator

    simulator = PipelineSimulator(weeks=4, workspace=folder, pace="instant")
    await asyncio.sleep(seconds)
    simulator.view._handle_custom_msg({"order": "play"}, [])
    while not simulator.wait(0.05):
        await asyncio.sleep(0)
    simulator.close()
    return simulator.state.status


sys.meta_path.insert(0, Watch())
print(asyncio.run(cell(sys.argv[1], float(sys.argv[2]))))
print(*apart)
"""


@pytest.mark.parametrize("seconds", [0, 1])
def test_run_when_on_a_thread_of_its_own_then_imports_nothing_that_a_cell_may_import(
    seconds, tmp_path
):
    # Two threads that import one package can each get it half made.
    done = subprocess.run(
        [sys.executable, "-c", CELL, tmp_path / "workspace", str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    status, apart = done.stdout.splitlines()
    assert status == "finished"
    assert apart.split(), "the finder saw nothing"
    ours = {name for name in apart.split() if name.split(".")[0] == "mlops_course"}
    assert not ours | {"mlflow", "pandas", "sklearn", "numpy", "matplotlib"} & set(apart.split())
