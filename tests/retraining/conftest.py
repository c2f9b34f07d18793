"""A small table of models, built once for the tests of this floor."""

import pytest

from mlops_course.deciding.decisions import Window
from mlops_course.retraining.building import build

WEEKS = 11
FORTNIGHT = Window(2)
THREE = Window(3)


@pytest.fixture(scope="session")
def tables(shared_workspace):
    """Eleven weeks of autumn: a feed that changes in the fourth, and one that is repaired again."""
    worlds = ["drift", "repaired"]
    return build(shared_workspace, worlds, [FORTNIGHT, THREE], seed=0, weeks=WEEKS)
