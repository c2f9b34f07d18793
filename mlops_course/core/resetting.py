"""Emptying a workspace: what was made goes, what can be made again stays, others are not robbed."""

import shutil
from itertools import chain

from mlops_course.core import holders
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import database_files
from mlops_course.core.workspace import Workspace, is_workspace, locked, logs, sign


def reset_workspace(workspace: Workspace, *, keep_cache: bool = True) -> None:
    """Delete the store and its artifacts, and by default keep what can be made again anyway.

    What this program itself has open does not hinder it.

    Raises
    ------
    WorkspaceError
        If the folder was not made by the course, another program has it open, or a file is in use.
    """
    if not workspace.root.exists():
        return
    if not is_workspace(workspace.root):
        raise WorkspaceError(
            f"{workspace.root} was not made by this course.",
            "Only a workspace of the course's own is ever deleted.",
            "Check the path, or remove the folder by hand.",
        )
    with locked(workspace):
        if found := holders.others(workspace.outermost):
            raise WorkspaceError(
                f"{workspace.root} is in use by {', '.join(map(str, found))}.",
                "What a program has open is not deleted under it.",
                "Shut down the notebook's kernel, or stop the command or process; then try again.",
            )
        sign(workspace.root)
        _delete(workspace, keep_cache)


def _delete(workspace: Workspace, keep_cache: bool) -> None:
    databases = (workspace.database, *logs(workspace))
    doomed = [*chain.from_iterable(map(database_files, databases))]
    doomed += [workspace.artifacts, workspace.lessons, workspace.shifts]
    if not keep_cache:
        doomed.append(workspace.cache)
    try:
        for path in doomed:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"{error.filename} could not be deleted ({error.strerror}).",
            "Another program may be using it.",
            "Shut down the other notebooks of the course and try again.",
        ) from error
