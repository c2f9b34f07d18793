"""Snapshots of a workspace: what took long to make in one need not be made again in the next.

They lie in the cache, one a name. A snapshot fits any workspace of the same kind: MLflow's store
names its files by their full paths, and these are rewritten when it is restored.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops_course.core.files import back_up
from mlops_course.core.workspace import OWN_PREFIX, Workspace, mend


def take(workspace: Workspace, name: str, digest: str) -> None:
    """Keep a workspace's state under a name, in the place of an older one of that name.

    Parameters
    ----------
    digest
        A word for all that the state was made from; `restore` asks for it.
    """
    kept = _place(workspace, name, digest)
    shutil.rmtree(kept.parent, ignore_errors=True)
    kept.parent.mkdir(parents=True)
    with TemporaryDirectory(dir=kept.parent) as folder:
        draft = Path(folder) / "draft"
        shutil.copytree(
            workspace.root,
            draft,
            ignore=lambda place, names: (
                _left_out(workspace, names) if Path(place) == workspace.root else ()
            ),
        )
        back_up(workspace.database, draft / workspace.database.name)
        draft.rename(kept)


def restore(workspace: Workspace, name: str, digest: str) -> bool:
    """Bring a new workspace to a kept state; return whether there was one made from the same.

    The store comes last, so that a workspace restored in part still looks new.
    """
    kept = _place(workspace, name, digest)
    if not kept.exists():
        return False
    with suppress(OSError, sqlite3.Error):
        shutil.copytree(
            kept,
            workspace.root,
            ignore=shutil.ignore_patterns(workspace.database.name),
            dirs_exist_ok=True,
        )
        back_up(kept / workspace.database.name, workspace.database)
        mend(workspace)
        return True
    return False


def digest_of_folder(folder: Path) -> str:
    """Return a word for all files below a folder, whatever their kind.

    Left out is what Python or an editor puts there by itself: ``__pycache__`` and hidden files.
    """
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        passing = any(part == "__pycache__" or part.startswith(".") for part in name.parts)
        if path.is_file() and not passing:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found.update(f"{name.as_posix()} {content}\n".encode())
    return found.hexdigest()


def _left_out(workspace: Workspace, names: Sequence[str]) -> set[str]:
    """Return what a snapshot has no use for: caches, and what makes a folder this workspace."""
    own = {name for name in names if name.startswith(OWN_PREFIX)}
    return {workspace.database.name, workspace.cache.name, *own}


def _place(workspace: Workspace, name: str, digest: str) -> Path:
    return workspace.cache / "snapshots" / name / digest
