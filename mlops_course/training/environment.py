"""What runs here: the versions of Python and packages, and what git says of the code."""

import os
import platform
import subprocess
from importlib.metadata import version

from mlops_course.core.workspace import CLONE

MODEL_PACKAGES = ("scikit-learn", "numpy", "scipy", "skops")
RECORDED_PACKAGES = ("mlflow", "pandas", *MODEL_PACKAGES)
GIT_SECONDS = 10


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a training gives."""
    packages = {name: version(name) for name in RECORDED_PACKAGES}
    return packages | {"python": platform.python_version()}


def git(*arguments: str) -> str | None:
    """Return what git prints about the code's repository, or None where there is none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(CLONE), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None
