"""Throwing a workspace's runs and models away, after a confirmation."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

from mlops_course.cli.terminal import DONE
from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.workspace import Workspace, check_place, default_home


def reset(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Empty the workspace, once somebody has said yes."""
    workspace = Workspace(default_home())
    check_place(workspace.root)
    if not workspace.root.exists():
        raise WorkspaceError(
            f"There is no workspace {workspace.root}.",
            "What is emptied is one that the course made.",
            "Check the path; if it is right, there is nothing to empty.",
        )
    if not options.yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise ParameterError(
                f"Nothing was deleted in {workspace.root}.",
                "Deleting runs and models takes a confirmation.",
                "Add --yes to the command.",
            )
        answer = ""
        with suppress(EOFError):
            answer = input(f"Delete all runs and models in {workspace.root}? Type yes: ")
        if answer.strip().lower() != "yes":
            print("Nothing was deleted.")
            return DONE
    reset_workspace(workspace)
    print(f"{workspace.root} is empty.")
    return DONE
