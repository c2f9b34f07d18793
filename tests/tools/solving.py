"""The instructor's copies: every exercise's stub replaced by its reference solution."""

import re
from copy import deepcopy

from nbformat import NotebookNode

from mlops_course.course.exercises import find

CHECK = re.compile(r'check\("(\d\d\.\d)", answer\)')


def solved(notebook: NotebookNode) -> NotebookNode:
    """Return a copy whose exercise cells hold the solution and its check."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code" and (asked := CHECK.search(cell.source)):
            exercise = find(asked.group(1))
            cell.source = cell.source.replace(exercise.stub.strip(), exercise.solution.strip())
    return copy
