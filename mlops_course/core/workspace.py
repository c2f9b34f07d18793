"""Where a learner's state lives: the MLflow store, its artifacts, and caches.

One folder holds everything, so that moving, resetting or deleting it is one act.
Nothing here knows what the files mean; `tracking` talks to the store.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from uuid import uuid4

from mlops_course.core import addresses
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import alone, check_writing, sqlite_url, write_text
from mlops_course.core.texts import short

CLONE = Path(__file__).resolve().parents[2]
HOME_VARIABLE = "MLOPS_COURSE_HOME"
MIN_FREE_BYTES = 200 * 2**20
RESET = "`python3 course.py reset`, or `mlops-course reset`"
LOCK_SECONDS = 30.0
OWN_PREFIX = ".mlops-course-"  # of the files that make a folder a workspace
_MARK = f"{OWN_PREFIX}workspace"
_LOCK = f"{OWN_PREFIX}lock-"


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
        """The prediction log of the latest pipeline run, which `own_run_log` gives to it."""
        return self.root / "run.db"

    @property
    def shifts(self) -> Path:
        """What was done on call, a file for each shift."""
        return self.root / "oncall"

    @property
    def lessons(self) -> Path:
        """The workspace inside this one that the lessons write to."""
        return self.root / "lessons"

    @property
    def outermost(self) -> Path:
        """The folder of the workspace that holds this one, if one does; else its own."""
        folder = self.root
        while is_workspace(folder.parent):
            folder = folder.parent
        return folder

    @property
    def identity(self) -> str:
        """A text that no other workspace has; a reset gives a new one. Empty if it is gone."""
        with suppress(OSError):
            return (self.root / _MARK).read_text(encoding="utf-8")
        return ""


def default_home() -> Path:
    """Return the folder used when none is named: ``workspace`` inside the clone.

    The environment variable ``MLOPS_COURSE_HOME`` takes precedence. Installed without a
    clone, it is ``workspace`` in the current folder.

    Raises
    ------
    WorkspaceError
        If the variable names no folder.
    """
    if named := os.environ.get(HOME_VARIABLE):
        return folder_named(named)
    place = CLONE if (CLONE / "pyproject.toml").exists() else Path.cwd()
    return (place / "workspace").resolve()


def folder_named(name: str | Path) -> Path:
    """Return the folder that a name leads to, in full: a program may go elsewhere.

    Raises
    ------
    WorkspaceError
        If it leads nowhere.
    """
    try:
        return Path(name).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # nobody of that name, or links in a circle
        raise WorkspaceError(
            f"The workspace {short(name)} cannot be found ({error}).",
            "Its name must lead to a folder, or to where one can be made.",
            f"Name another place in {HOME_VARIABLE} or with --workspace.",
        ) from error


def is_workspace(folder: Path) -> bool:
    """Return whether the course made a folder."""
    return (folder / _MARK).exists()


def open_workspace(root: str | Path | None = None, *, cache: Path | None = None) -> Workspace:
    """Make a workspace usable and return it; what is in an existing one stays.

    If it was moved, copied or restored from elsewhere, its store is told where it is now.

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
    home = folder_named(root) if root is not None else default_home()
    workspace = Workspace(home, cache)
    check_place(home)
    try:
        _adopt(home)
        workspace.artifacts.mkdir(exist_ok=True)
        workspace.cache.mkdir(exist_ok=True)
        check_writing(home)
        check_writing(workspace.artifacts)
    except OSError as error:
        raise _unwritable(home, error) from error
    check_store(workspace)
    mend(workspace)
    return workspace


def open_lessons() -> Workspace:
    """Open the workspace that the lessons write to; it shares the default workspace's cache."""
    home = open_workspace()
    return open_workspace(home.lessons, cache=home.cache)


def check_place(home: Path) -> None:
    """Raise `WorkspaceError` unless a folder is a workspace, or may become one; touch nothing."""
    try:
        str(home).encode()
    except UnicodeEncodeError as error:
        raise WorkspaceError(
            f"The path {str(home)!a} cannot be read as text.",
            "MLflow keeps the paths of its files as text.",
            f"Set LC_ALL=C.UTF-8, or name another place in {HOME_VARIABLE} or with --workspace.",
        ) from error
    try:
        is_file = home.exists() and not home.is_dir()
        foreign = not is_file and _holds_only_foreign_files(home)
    except OSError as error:
        raise _unwritable(home, error) from error
    if is_file:
        raise WorkspaceError(
            f"{home} is a file.",
            "The workspace is a folder.",
            f"Name another place in {HOME_VARIABLE} or with --workspace.",
        )
    if foreign:
        raise WorkspaceError(
            f"The folder {home} already holds files that are not the course's.",
            "The workspace is an empty folder, or one that the course made.",
            f"Name another place in {HOME_VARIABLE} or with --workspace.",
        )


def check_store(workspace: Workspace) -> None:
    """Raise `WorkspaceError` at once for trouble that MLflow would meet slowly or obscurely.

    Looks at free space and at whether the store can be written now: a locked SQLite file
    would otherwise block MLflow for twenty seconds.
    """
    if not workspace.root.exists():
        raise was_deleted(workspace)
    free = shutil.disk_usage(workspace.root).free
    if free < MIN_FREE_BYTES:
        raise WorkspaceError(
            f"Only {free // 2**20} MB are free on the disk that holds {workspace.root}.",
            f"A run needs up to {MIN_FREE_BYTES // 2**20} MB.",
            f"Free some space, or move the workspace with {HOME_VARIABLE}.",
        )
    try:
        made = workspace.database.exists()
    except OSError as error:  # somebody else's folder
        raise _unwritable(workspace.root, error) from error
    if made:
        _probe(workspace.database)


def was_deleted(workspace: Workspace) -> WorkspaceError:
    """Return what to say of a workspace whose folder is gone."""
    return WorkspaceError(
        f"The workspace {workspace.root} was deleted.",
        "A run keeps its results there.",
        "Run the notebook from its first cell to make a new one; the simulator makes one when it "
        "runs again.",
    )


def workspaces_within(home: Path) -> list[Workspace]:
    """Return a workspace and those inside it: the lessons', and copies made for trying."""
    found = [Workspace(home)]
    for workspace in found:  # grows with what lies in it
        marks = sorted(workspace.root.glob(f"*/{_MARK}"))
        found += [Workspace(mark.parent) for mark in marks]
    return found


@contextmanager
def locked(
    workspace: Workspace, purpose: str = "store", seconds: float = LOCK_SECONDS
) -> Iterator[None]:
    """Keep other programs out of the block that do the same with this workspace.

    Parameters
    ----------
    purpose
        What is done, in a word; each has its own lock. By default making or deleting the store.
    seconds
        How long to wait for another.

    Raises
    ------
    WorkspaceError
        If another does not finish in time, or the folder cannot be written.
    """
    with ExitStack() as held:
        try:
            held.enter_context(alone(workspace.outermost / f"{_LOCK}{purpose}", seconds))
        except OSError as error:
            raise _unwritable(workspace.root, error) from error
        yield


@contextmanager
def own_run_log(workspace: Workspace) -> Iterator[Path]:
    """Give a pipeline run the file for its prediction log, which it begins anew.

    It is the workspace's `run_log`, or one beside it while another run has that.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written.
    """
    log = workspace.run_log
    with ExitStack() as held:
        for number in count(2):
            try:
                held.enter_context(alone(workspace.root / f"{_LOCK}{log.stem}", 0))
                break
            except TimeoutError:
                log = workspace.run_log.with_stem(f"{workspace.run_log.stem}-{number}")
            except OSError as error:
                raise _unwritable(workspace.root, error) from error
        yield log


def logs(workspace: Workspace) -> list[Path]:
    """Return the SQLite files that services and runs have left: prediction logs, label stores."""
    stems = (workspace.predictions.stem, workspace.run_log.stem)
    found = [sorted(workspace.root.glob(f"{stem}*.db")) for stem in stems]
    return [*chain.from_iterable(found)]


def mend(workspace: Workspace) -> None:
    """Let the store's addresses point to where the workspace is now.

    Raises
    ------
    WorkspaceError
        If the store cannot be written.
    """
    if not workspace.database.exists():
        return
    try:
        addresses.mend(workspace.database, workspace.artifacts, workspace.outermost)
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"The MLflow store {workspace.database} cannot be told that it was moved ({error}).",
            "It keeps the full paths of its files.",
            "Stop other programs that use it, and try again; `mlops-course doctor` tells more.",
        ) from error


def _adopt(home: Path) -> None:
    """Create the folder and its mark, unless they are there."""
    if is_workspace(home):
        return
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(home / f"{_LOCK}store", LOCK_SECONDS):
        if not is_workspace(home):
            sign(home)


def sign(home: Path) -> None:
    """Write the mark that makes a folder a workspace, with a new identity."""
    text = f"Made by mlops_course; `mlops-course reset` empties it.\n{uuid4()}\n"
    write_text(home / _MARK, text)


def _holds_only_foreign_files(home: Path) -> bool:
    """Return whether a folder has files and no mark; which is looked for last.

    Another program that makes the workspace right now writes the mark before anything else.
    """
    if not home.exists() or is_workspace(home.parent):  # MLflow may have made a deleted one anew
        return False
    own = OWN_PREFIX.lstrip(".")
    files = [path for path in home.iterdir() if not path.name.lstrip(".").startswith(own)]
    return bool(files) and not is_workspace(home)


def _unwritable(home: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"The workspace {home} cannot be written ({error.strerror}).",
        "The course keeps its MLflow store there.",
        f"Free the folder, or name another one in {HOME_VARIABLE} or with --workspace.",
    )


def _probe(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.execute("CREATE TABLE probe (written)")  # opens the journal beside it
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
