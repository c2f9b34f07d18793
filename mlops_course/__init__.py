"""A hands-on MLOps course: one real model, one real year of flights, the whole loop.

Importing the package costs next to nothing; each room loads what it needs when it is
first used. The names here are those that a notebook's first cells use; everything else is in a room
of its own: see README.md beside this file.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "OnCall": "console.console",
    "PipelineSimulator": "simulator.simulator",
    "open_workspace": "core.workspace",
    "start": "course.lessons",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlops_course' has no attribute {name!r}")
    return getattr(import_module(f"mlops_course.{_HOMES[name]}"), name)
