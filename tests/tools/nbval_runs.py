"""A pytest plugin for nbval: patience with outputs, and more to be learnt from a notebook's run.

nbval waits five seconds for a cell's output, here it waits a minute. With ``--keep FOLDER``, the
outputs and the lessons' workspace are kept as they are after the last cell, then all cells run once
more in the same kernel, as a second *Run All* would.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlops_course.core.workspace import HOME_VARIABLE, Workspace

OUTPUT_SECONDS = 60
OUTPUTS = "outputs.json"
REPEAT_FAILED = "repeat_failed.txt"
LEFT = "lessons"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--keep", type=Path, metavar="FOLDER", help="keep what the notebook gave")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the time that nbval, which has no option for it, keeps in each cell."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = OUTPUT_SECONDS


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last cell, and before nbval stops the kernel, keep what there is and run again."""
    folder = item.config.option.keep
    if folder is None or nextitem is not None:
        return
    outputs = [cell.test_outputs or [] for cell in item.session.items]
    (folder / OUTPUTS).write_text(json.dumps(outputs), encoding="utf-8")
    lessons = Workspace(Path(os.environ[HOME_VARIABLE])).lessons
    if lessons.exists():
        shutil.copytree(lessons, folder / LEFT)
    failed = run_again(item.parent.kernel, item.session.items)
    (folder / REPEAT_FAILED).write_text(failed, encoding="utf-8")


def run_again(kernel: Any, cells: list[Any]) -> str:
    """Run all cells in a kernel, and say which failed first and how; nothing if none did."""
    for number, item in enumerate(cells, start=1):
        if kernel is None or not kernel.is_alive():
            return f"cell {number}: the kernel died"
        try:
            reply = kernel.kc.execute_interactive(
                item.cell.source,
                store_history=False,
                allow_stdin=False,
                timeout=item.config.option.nbval_cell_timeout,
                output_hook=lambda message: None,
            )
        except TimeoutError as error:
            return f"cell {number}: {error}"
        if reply["content"]["status"] != "ok":
            content = reply["content"]
            return f"cell {number}: {content['ename']}: {content['evalue']}\n{item.cell.source}"
    return ""
