"""The record of a shift in the workspace, and which console writes it.

One console writes at a time. It leaves its claim beside the record, which counts while its process
runs; another may take the shift over, and the first one sees that before its next step.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from uuid import uuid4

from mlops_course.core import holders
from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import alone, write_text
from mlops_course.core.holders import Holder
from mlops_course.core.workspace import Workspace
from mlops_course.oncall.records import name_of, read_record, write_record
from mlops_course.oncall.state import Step
from mlops_course.shifts.plans import Shift

_LOCK_SECONDS = 2.0


class Elsewhere(WorkspaceError):
    """Another console plays this shift."""


class Keeper:
    """Keeps a shift's steps in a workspace.

    Parameters
    ----------
    workspace, shift
        Where, and of what.

    Attributes
    ----------
    path
        The record.
    """

    path: Path

    def __init__(self, workspace: Workspace, shift: Shift) -> None:
        self._workspace = workspace
        self._shift = shift
        self._console = uuid4().hex
        self.path = workspace.shifts / name_of(shift)
        self._claim = self.path.with_suffix(".claim")

    def claim(self, *, force: bool = False) -> None:
        """Be the one that writes from now on; a console of the same program gives way.

        Parameters
        ----------
        force
            Take the shift over from a console of another program.

        Raises
        ------
        Elsewhere
            If such a console plays it, and nothing is forced.
        WorkspaceError
            If the folder cannot be written.
        """
        with self._alone():
            holder = self._holder()
            own = holders.this_process(self._workspace.root)
            if holder is not None and holder.pid != own.pid and not force:
                raise _elsewhere(f"{holder} plays this shift.")
            self._write_claim(own)

    def check(self) -> None:
        """Raise `Elsewhere` if another console has taken the shift over."""
        if self._claimed_by() != self._console:
            raise _elsewhere(f"{self._holder() or 'Another console'} has taken this shift over.")

    def write(self, steps: Sequence[Step]) -> None:
        """Keep all steps so far.

        Raises
        ------
        Elsewhere
            If another console has taken the shift over; the file is as it left it.
        WorkspaceError
            If the file cannot be written.
        """
        with self._alone():
            self.check()
            write_record(self.path, self._shift, steps)

    def read(self) -> list[Step]:
        """Return the steps that were kept; raises what `records.read_record` raises."""
        return read_record(self.path, self._shift)

    def put_aside(self) -> Path | None:
        """Give the record another name, and return it; None if there is no record."""
        if not self.path.exists():
            return None
        for number in count(1):
            aside = self.path.with_name(f"{self.path.stem}-before-{number}.json")
            if not aside.exists():
                break
        return self.path.rename(aside)

    def release(self) -> None:
        """Let others play this shift without asking."""
        if self._claimed_by() == self._console:
            with suppress(OSError):
                self._claim.unlink(missing_ok=True)

    def place_for_live(self) -> str:
        """Return the name of a folder for this console's real system; forget those left over."""
        begin = f"{self.path.stem}-live-"
        for old in self.path.parent.glob(f"{begin}*"):
            if not holders.others(old):
                shutil.rmtree(old, ignore_errors=True)
        return f"{begin}{self._console[:8]}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from the record; one that holds it for long plays the shift."""
        with ExitStack() as held:
            try:
                self.path.parent.mkdir(exist_ok=True)
                held.enter_context(alone(self.path.with_suffix(".lock"), _LOCK_SECONDS))
            except TimeoutError as error:
                raise _elsewhere("Another console plays this shift.") from error
            except OSError as error:
                raise _unwritable(self.path, error) from error
            yield

    def _write_claim(self, own: Holder) -> None:
        try:
            write_text(self._claim, json.dumps({"console": self._console, "holder": asdict(own)}))
        except OSError as error:
            raise _unwritable(self._claim, error) from error

    def _told(self) -> dict[str, object]:
        with suppress(OSError, ValueError):  # none is there, or it is damaged
            told = json.loads(self._claim.read_text(encoding="utf-8"))
            if isinstance(told, dict):
                return told
        return {}

    def _claimed_by(self) -> object:
        return self._told().get("console")

    def _holder(self) -> Holder | None:
        """Return who plays the shift, if that process runs and the workspace was not copied."""
        told = self._told().get("holder")
        with suppress(TypeError):
            holder = Holder(**told)  # type: ignore[arg-type]
            if holder.root == str(self._workspace.root) and holders.runs(holder):
                return holder
        return None


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"{path} cannot be written ({error.strerror}).",
        "The steps of a shift are kept in that folder.",
        "Make it writable, or name another workspace.",
    )


def _elsewhere(happened: str) -> Elsewhere:
    return Elsewhere(
        happened[:1].upper() + happened[1:],
        "One console at a time writes what is done; this one only shows it.",
        "Go on there, or take the shift over here.",
    )
