"""A JupyterLab of its own for a test: temporary notebooks, workspace and settings."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from executor import FIXED
from processes import end_family

from mlops_course.cli.saved_widgets import SETTINGS, VARIABLE
from mlops_course.core.workspace import HOME_VARIABLE, open_workspace

START_SECONDS = 90
KERNEL_IS_IDLE = """
() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === "idle"
"""


@contextmanager
def evidence(page, name: str) -> Iterator[None]:
    """Keep a screenshot when what follows fails, and print where."""
    try:
        yield
    except BaseException:
        path = Path(tempfile.mkdtemp(prefix="mlops-browser-")) / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        print(f"screenshot: {path}")
        raise


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    home: Path
    process: psutil.Process

    def address(self, notebook: str) -> str:
        """Return where a notebook opens in a workspace of its own, without old tabs."""
        return f"{self.url}lab/workspaces/test/tree/{notebook}?reset&token={self.token}"

    def shut_kernels_down(self) -> None:
        """End all kernels the way *Shut Down Kernel* does."""
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60) as ask:
            for kernel in ask.get("api/kernels").json():
                ask.delete(f"api/kernels/{kernel['id']}").raise_for_status()


@contextmanager
def running_lab(
    place: Path, notebooks: Path, cache: Path, *more: str, program: str = "jupyterlab"
) -> Iterator[Lab]:
    """Start JupyterLab on copies of the notebooks, and end it with all its processes.

    `more` are further options of its command line, `program` is it or ``notebook``.
    """
    folder, home = place / "notebooks", place / "workspace"
    shutil.copytree(notebooks, folder, ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(cache, open_workspace(home).cache, dirs_exist_ok=True)
    environment = {**os.environ, **FIXED, HOME_VARIABLE: str(home), VARIABLE: str(SETTINGS)}
    for name in ("config", "data", "runtime"):
        environment[f"JUPYTER_{name.upper()}_DIR"] = str(place / name)
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(place / "settings")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(place / "workspaces")
    options = ["--no-browser", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1", "--allow-root"]
    options += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    log = place / "jupyterlab.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", program, *options, *more],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        url, token = _wait_until_up(process, place / "runtime", log)
        yield Lab(url, token, folder, home, psutil.Process(process.pid))
    finally:
        end_family(process.pid)


def _wait_until_up(process: "subprocess.Popen[bytes]", runtime: Path, log: Path) -> tuple[str, str]:
    """Return the URL and the token once the server answers; the port is the system's choice."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                server = json.loads(file.read_text(encoding="utf-8"))
                httpx.get(f"{server['url']}api", trust_env=False).raise_for_status()
                return server["url"], server["token"]
            except (ValueError, httpx.HTTPError):
                continue
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
