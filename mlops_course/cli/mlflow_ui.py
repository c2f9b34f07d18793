"""MLflow's web interface, for JupyterLab's launcher: /mlflow/ and /mlflow-simulator/.

The lessons and the simulator keep their runs apart, so there are two tiles. jupyter-server-proxy
reads their settings through the entry points in pyproject.toml, starts the command when somebody
first opens a page, and ends it with JupyterLab. MLflow asks nobody for a password, so no other way
leads to it: it listens on a Unix socket in a folder of the learner's own (on Windows on a port of
this machine), and answers only what carries the secret that the proxy adds, after JupyterLab has
seen its token.
"""

import hmac
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_course.core.holders import hold
from mlops_course.core.workspace import Workspace, open_lessons, open_workspace

START_SECONDS = 60
SECRET_HEADER = "X-MLOps-Course-Secret"
SECRET_VARIABLE = "MLOPS_COURSE_MLFLOW_SECRET"
STORE_VARIABLE = "MLOPS_COURSE_MLFLOW_STORE"
STORES: Mapping[str, Callable[[], Workspace]] = {
    "lessons": open_lessons,
    "simulator": open_workspace,
}
ENVIRONMENT = {
    "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
READING_METHODS = ("GET", "HEAD", "OPTIONS")
PAST_THE_PROXY = """\
This request did not come through JupyterLab.
MLflow shows the learner's runs to whoever JupyterLab's token lets in, and to nobody else.
Open MLflow from JupyterLab's launcher.
"""
FROM_ANOTHER_PAGE = """\
This request was sent by a page of another address.
Only MLflow's own page may change runs and models.
Open MLflow from JupyterLab's launcher, and make the change there.
"""


def settings() -> dict[str, Any]:
    """Return what jupyter-server-proxy asks for: the command, how to run it, what to add."""
    return _settings("lessons")


def simulator_settings() -> dict[str, Any]:
    """Return the same for the store of the simulator and of `mlops-course simulate`."""
    return _settings("simulator")


def _settings(store: str) -> dict[str, Any]:
    secret = secrets.token_hex(32)
    return {
        "command": command,
        "environment": {**ENVIRONMENT, SECRET_VARIABLE: secret, STORE_VARIABLE: store},
        "request_headers_override": {SECRET_HEADER: secret},
        "unix_socket": sys.platform != "win32",
        "timeout": START_SECONDS,
        "launcher_entry": {"title": f"MLflow: {store}"},
    }


def command(port: int, unix_socket: str) -> list[str]:
    """Return the command of a slim server, one process.

    Parameters
    ----------
    port
        A free port on 127.0.0.1, used where there is no socket.
    unix_socket
        The path of a socket in a folder that nobody else may enter; "" for none.

    Raises
    ------
    WorkspaceError
        If the lessons' workspace cannot be used.
    """
    open_lessons()
    place = ("--uds", unix_socket) if unix_socket else ("--host", "127.0.0.1", "--port", str(port))
    return [
        *(sys.executable, "-m", "uvicorn", *place),
        *("--workers", "1", "--ws", "none", "--no-access-log"),
        *("--factory", f"{__name__}:server"),
    ]


def server() -> ASGIApp:
    """Make the application that `mlflow server` runs, over one of `STORES`, with a guard.

    Raises
    ------
    KeyError
        If the environment holds no secret, or names no store.
    WorkspaceError
        If the workspace cannot be used.
    """
    secret = os.environ[SECRET_VARIABLE]
    workspace = STORES[os.environ[STORE_VARIABLE]]()
    hold(workspace.outermost, "MLflow's interface")
    from mlflow.server import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    os.environ[BACKEND_STORE_URI_ENV_VAR] = workspace.tracking_uri
    os.environ[ARTIFACT_ROOT_ENV_VAR] = workspace.artifacts.as_uri()
    initialize_backend_stores()
    return Guard(app, secret)


class Guard:
    """Answer 403 to what came past the proxy, and to changes that another page asks for.

    JupyterLab lets in whoever has its cookie, and a browser sends that along with requests of any
    page on the same machine or hub; jupyter-server-proxy leaves the check to the server behind it.
    What passes goes on under the name localhost, the only one that MLflow then has to allow.
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        """Stand before an application.

        Parameters
        ----------
        app
            The application to guard.
        secret
            What the proxy adds to each request.
        """
        self.app = app
        self.secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = MutableHeaders(scope=scope)
        shown = headers.get(SECRET_HEADER, "").encode()
        if not hmac.compare_digest(shown, self.secret):
            return await PlainTextResponse(PAST_THE_PROXY, 403)(scope, receive, send)
        if is_change_from_another_page(scope["method"], headers):
            await _read_to_the_end(receive)
            return await PlainTextResponse(FROM_ANOTHER_PAGE, 403)(scope, receive, send)
        headers["Host"] = "localhost"
        for name in ("Origin", SECRET_HEADER):
            del headers[name]
        await self.app(scope, receive, send)


async def _read_to_the_end(receive: Receive) -> None:
    """Take in a body; the proxy says 500 where the answer comes before all of it was sent."""
    while (await receive()).get("more_body"):
        pass


def is_change_from_another_page(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a page of another origin asks for more than to read.

    A browser says so in `Sec-Fetch-Site`; to an address without TLS that is not this machine's,
    only `Origin` tells. A program that is no browser sends neither. The same rule as in Go's
    `net/http.CrossOriginProtection`.

    Parameters
    ----------
    method
        The request's method, in capitals.
    headers
        The request's headers, as the browser sent them, found by their names in lower case.
    """
    if method in READING_METHODS:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
