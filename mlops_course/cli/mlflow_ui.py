"""MLflow's web interface over the lessons' runs, for JupyterLab's launcher and /mlflow/.

jupyter-server-proxy reads `settings` through the entry point in pyproject.toml, starts the
command when somebody first opens the page, and ends it with JupyterLab.
"""

import sys
from typing import Any

from mlops_course.core.workspace import open_lessons

START_SECONDS = 60
ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def settings() -> dict[str, Any]:
    """Return what jupyter-server-proxy asks for: the command and how to run it."""
    return {
        "command": command,
        "environment": ENVIRONMENT,
        "timeout": START_SECONDS,
        "launcher_entry": {"title": "MLflow"},
    }


def command(port: int) -> list[str]:
    """Return the command of a slim server: one worker, reachable from this machine alone.

    Behind a hub requests come under the hub's name, so every name is allowed: whoever may come
    in is for JupyterLab's token to decide.

    Parameters
    ----------
    port
        A free port on 127.0.0.1.

    Raises
    ------
    WorkspaceError
        If the lessons' workspace cannot be used.
    """
    lessons = open_lessons()
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", lessons.tracking_uri),
        *("--default-artifact-root", lessons.artifacts.as_uri()),
        *("--allowed-hosts", "*", "--cors-allowed-origins", "*"),
    ]
