"""Widgets in a notebook that a learner saves: each with what it needs to be shown again.

JupyterLab can save widgets with the notebook (its setting *Save Widget State Automatically*) and
shows them when it is opened again, after their kernel has ended. But it saves only those whose
kernel runs: open the notebook again and save it, and they are lost, and the next time an error
stands in their place. This extension of Jupyter's server completes what is saved. JupyterLab
finds it, and the course's settings, through the folder `SETTINGS`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
VARIABLE = "JUPYTER_CONFIG_PATH"
SETTINGS = Path(__file__).with_name("jupyter")


def complete(notebook: dict[str, Any], former: dict[str, Any]) -> None:
    """Leave no widget in a notebook without the models that it is drawn from.

    A model that is missing is taken from the notebook's former version. A widget that has none
    there either is left out, and the text or picture stored beside it is shown instead.

    Parameters
    ----------
    notebook
        The notebook about to be saved, as its file's JSON; it is changed.
    former
        The notebook as it was saved before; empty if it was not.
    """
    outputs = [output["data"] for output in _outputs(notebook) if VIEW in output.get("data", {})]
    if not outputs:
        return
    shown = [data[VIEW].get("model_id", "") for data in outputs]
    models = _models(former) | _models(notebook)
    needed = _reachable(models, shown)
    for data, model_id in zip(outputs, shown, strict=True):
        if model_id not in needed and len(data) > 1:
            del data[VIEW]
    widgets = {STATE: {"version_major": 2, "version_minor": 0, "state": needed}}
    notebook.setdefault("metadata", {})["widgets"] = widgets


def before_saving(
    model: dict[str, Any], path: str, contents_manager: Any, **others: object
) -> None:
    """Complete a notebook's widgets; Jupyter's server calls this with all that it saves."""
    from jupyter_server.utils import ApiPath, to_os_path

    if model.get("type") != "notebook" or not model.get("content"):
        return
    former = {}
    with suppress(OSError, ValueError, AttributeError):
        file = Path(to_os_path(ApiPath(path), contents_manager.root_dir))
        former = json.loads(file.read_text(encoding="utf-8"))
    complete(model["content"], former)


def _outputs(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in notebook.get("cells", []):
        yield from cell.get("outputs", [])


def _models(notebook: dict[str, Any]) -> dict[str, Any]:
    widgets = notebook.get("metadata", {}).get("widgets", {})
    return dict(widgets.get(STATE, {}).get("state", {}))


def _reachable(models: dict[str, Any], shown: Iterable[str]) -> dict[str, Any]:
    """Return the models that are shown, and those that they refer to."""
    found: dict[str, Any] = {}
    waiting = list(shown)
    while waiting:
        name = waiting.pop()
        if name in models and name not in found:
            found[name] = models[name]
            waiting += re.findall(r"IPY_MODEL_([\w-]+)", json.dumps(models[name]))
    return found


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(before_saving)
