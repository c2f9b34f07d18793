"""Which console plays a shift: one at a time writes its steps, in a notebook or a terminal.

It leaves its claim beside the record, which counts while its process runs; another may take the
shift over, and the first one sees that before its next step.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from uuid import uuid4

from mlops_course.console.kept import (
    Elsewhere,
    Place,
    keep,
    kept,
    place_of,
    put_aside,
    take_up,
    unwritable,
)
from mlops_course.core import holders
from mlops_course.core.files import alone, write_text
from mlops_course.core.holders import Holder
from mlops_course.core.workspace import Workspace
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.state import Drill, Step
from mlops_course.shifts.plans import Shift

_LOCK_SECONDS = 2.0


class Keeper:
    """Keeps a shift's steps in a workspace.

    Parameters
    ----------
    workspace, shift
        Where, and of what.

    Attributes
    ----------
    place
        The files.
    """

    place: Place

    def __init__(self, workspace: Workspace, shift: Shift) -> None:
        self._root = workspace.root
        self._console = uuid4().hex
        self.place = place_of(workspace, shift)

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
            own = holders.this_process(self._root)
            if holder is not None and holder.pid != own.pid and not force:
                raise _elsewhere(f"{holder} plays this shift.")
            self._write_claim(own)

    def check(self) -> None:
        """Raise `Elsewhere` if another console has taken the shift over."""
        if self._claimed_by() != self._console:
            raise _elsewhere(f"{self._holder() or 'Another console'} has taken this shift over.")

    def write(self, drill: Drill) -> None:
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
            keep(self.place, drill)

    def take_up(self, engine: Engine) -> str:
        """Inject what a game master has written; return a sentence if it cannot be used.

        Raises
        ------
        Elsewhere, WorkspaceError
            As `write`.
        """
        with self._alone():
            self.check()
            return take_up(self.place, engine)

    def read(self) -> list[Step]:
        """Return the steps that were kept, none if nothing was; raises what `kept.kept` raises."""
        found = kept(self.place)
        return list(found.steps) if found is not None else []

    def begin_anew(self) -> None:
        """Put aside what was kept."""
        with self._alone():
            put_aside(self.place)

    def release(self) -> None:
        """Let others play this shift without asking."""
        if self._claimed_by() == self._console:
            with suppress(OSError):
                self.place.claim.unlink(missing_ok=True)

    def place_for_live(self) -> str:
        """Return the name of a folder for this console's real system; forget those left over."""
        begin = f"{self.place.key}-live-"
        for old in self.place.folder.glob(f"{begin}*"):
            if not holders.others(old):
                shutil.rmtree(old, ignore_errors=True)
        return f"{begin}{self._console[:8]}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from the record; one that holds it for long plays the shift."""
        with ExitStack() as held:
            try:
                self.place.folder.mkdir(exist_ok=True)
                held.enter_context(alone(self.place.lock, _LOCK_SECONDS))
            except TimeoutError as error:
                raise _elsewhere("Another console plays this shift.") from error
            except OSError as error:
                raise unwritable(self.place.steps) from error
            yield

    def _write_claim(self, own: Holder) -> None:
        try:
            write_text(
                self.place.claim, json.dumps({"console": self._console, "holder": asdict(own)})
            )
        except OSError as error:
            raise unwritable(self.place.claim) from error

    def _told(self) -> dict[str, object]:
        with suppress(OSError, ValueError):  # none is there, or it is damaged
            told = json.loads(self.place.claim.read_text(encoding="utf-8"))
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
            if holder.root == str(self._root) and holders.runs(holder):
                return holder
        return None


def _elsewhere(happened: str) -> Elsewhere:
    return Elsewhere(
        happened[:1].upper() + happened[1:],
        "One console at a time writes what is done.",
        "Go on there or close it, or take the shift over in a notebook's console.",
    )
