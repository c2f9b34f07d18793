"""Where a learner's state lives: the MLflow store, its artifacts, and caches.

One folder holds everything, so that moving, resetting or deleting it is one act.
Nothing here knows what the files mean; `tracking` talks to the store.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import database_files, sqlite_url

CLONE = Path(__file__).resolve().parents[2]
HOME_VARIABLE = "MLOPS_COURSE_HOME"
MIN_FREE_BYTES = 200 * 2**20
RESET = "`python3 course.py reset`, or `mlops-course reset`"
_MARK = ".mlops-course-workspace"


@dataclass(frozen=True)
class Workspace:
    """The paths of one workspace; `open_workspace` makes them usable.

    ``shared_cache`` is another workspace's cache to use instead of one's own.
    """

    root: Path
    shared_cache: Path | None = None

    @property
    def database(self) -> Path:
        """MLflow's SQLite file."""
        return self.root / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """The URI under which MLflow finds the store."""
        return sqlite_url(self.database)

    @property
    def artifacts(self) -> Path:
        """MLflow's artifact root."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """Derived files that can be made again: the flights as Parquet, an empty store."""
        return self.shared_cache or self.root / "cache"

    @property
    def predictions(self) -> Path:
        """The prediction log of the scoring service, a SQLite file."""
        return self.root / "predictions.db"

    @property
    def run_log(self) -> Path:
        """The prediction log of the latest pipeline run, which each run begins anew."""
        return self.root / "run.db"

    @property
    def lessons(self) -> Path:
        """The workspace inside this one that the lessons write to."""
        return self.root / "lessons"


def default_home() -> Path:
    """Return the folder used when none is named: ``workspace`` inside the clone.

    The environment variable ``MLOPS_COURSE_HOME`` takes precedence. Installed without a
    clone, it is ``workspace`` in the current folder.
    """
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().resolve()
    return (CLONE if (CLONE / "pyproject.toml").exists() else Path.cwd()) / "workspace"


def open_workspace(root: str | Path | None = None, *, cache: Path | None = None) -> Workspace:
    """Make a workspace usable and return it; an existing one is left as it is.

    Parameters
    ----------
    root
        Its folder; by default `default_home()`.
    cache
        Another workspace's cache to share; by default it has its own.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written, the disk is full, or the store is locked or damaged.
    """
    home = Path(root).expanduser().resolve() if root is not None else default_home()
    workspace = Workspace(home, cache)
    try:
        _adopt(home)
        workspace.artifacts.mkdir(exist_ok=True)
        workspace.cache.mkdir(exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"The workspace {home} cannot be written ({error.strerror}).",
            "The course keeps its MLflow store there.",
            f"Free the folder, or name another one in {HOME_VARIABLE} or with --workspace.",
        ) from error
    check_store(workspace)
    return workspace


def open_lessons() -> Workspace:
    """Open the workspace that the lessons write to; it shares the default workspace's cache."""
    home = open_workspace()
    return open_workspace(home.lessons, cache=home.cache)


def check_store(workspace: Workspace) -> None:
    """Raise `WorkspaceError` at once for trouble that MLflow would meet slowly or obscurely.

    Looks at free space and at whether the store can be written now: a locked SQLite file
    would otherwise block MLflow for twenty seconds.
    """
    if not workspace.root.exists():
        raise WorkspaceError(
            f"The workspace {workspace.root} was deleted.",
            "A run keeps its results there.",
            "Run the notebook from its first cell to make a new one.",
        )
    free = shutil.disk_usage(workspace.root).free
    if free < MIN_FREE_BYTES:
        raise WorkspaceError(
            f"Only {free // 2**20} MB are free on the disk that holds {workspace.root}.",
            f"A run needs up to {MIN_FREE_BYTES // 2**20} MB.",
            f"Free some space, or move the workspace with {HOME_VARIABLE}.",
        )
    if workspace.database.exists():
        _probe(workspace.database)


def reset_workspace(workspace: Workspace, *, keep_cache: bool = True) -> None:
    """Delete the store and its artifacts, and by default keep what can be made again anyway.

    Raises
    ------
    WorkspaceError
        If the folder was not made by the course, or a file is in use.
    """
    if not workspace.root.exists():
        return
    if not (workspace.root / _MARK).exists():
        raise WorkspaceError(
            f"{workspace.root} was not made by this course.",
            "Only a workspace of the course's own is ever deleted.",
            "Check the path, or remove the folder by hand.",
        )
    doomed = [workspace.artifacts, workspace.lessons]
    for database in (workspace.database, workspace.predictions, workspace.run_log):
        doomed += database_files(database)
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


def _adopt(home: Path) -> None:
    """Create the folder, or refuse one that holds somebody's files."""
    mark = home / _MARK
    if mark.exists():
        return
    if home.exists() and not home.is_dir():
        raise WorkspaceError(
            f"{home} is a file.",
            "The workspace is a folder.",
            f"Name another place in {HOME_VARIABLE} or with --workspace.",
        )
    inside = (home.parent / _MARK).exists()  # a deleted folder there, MLflow may have made anew
    if home.exists() and any(home.iterdir()) and not inside:
        raise WorkspaceError(
            f"The folder {home} already holds files that are not the course's.",
            "The workspace is an empty folder, or one that the course made.",
            f"Name another place in {HOME_VARIABLE} or with --workspace.",
        )
    home.mkdir(parents=True, exist_ok=True)
    mark.write_text("Made by mlops_course; `mlops-course reset` empties it.\n", encoding="utf-8")


def _probe(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise WorkspaceError(
                f"The MLflow store {database} is locked by another program.",
                "One program writes to the store at a time.",
                "Stop the other notebook or command that is writing to it, then try again.",
            ) from error
        raise WorkspaceError(
            f"The MLflow store {database} cannot be written ({error}).",
            "The file and its folder must be writable.",
            f"Check the permissions, or name another workspace in {HOME_VARIABLE}.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(
            f"The MLflow store {database} is damaged ({error}).",
            "It must be a SQLite file.",
            f"Copy it away if you need it, then start afresh: {RESET}.",
        ) from error
