"""A pytest plugin for nbval: wait a minute for a cell's output, where nbval waits five seconds."""

import pytest

OUTPUT_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the time that nbval, which has no option for it, keeps in each cell."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = OUTPUT_SECONDS
