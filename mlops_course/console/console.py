"""On call: a shift in a notebook, with a pager, a clock, pages to look at and things to do.

What a button does, a method does. What is shown is what somebody on call sees; the truth comes
once the shift is over.
"""

import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mlops_course.console import ending, views
from mlops_course.console.ending import Document
from mlops_course.console.keeping import Keeper
from mlops_course.console.page import Page
from mlops_course.console.session import ELSEWHERE, Session
from mlops_course.console.widget import ConsoleView, KeptConsole, pages_of, still, still_text
from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.debriefing.debrief import Debrief
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.players import PLAYERS, UNWATCHED
from mlops_course.oncall.results import write_result
from mlops_course.oncall.scoring import Score
from mlops_course.oncall.shift_files import read_shift
from mlops_course.oncall.state import Drill
from mlops_course.shifts.plans import DEFAULT_LEVEL, Shift, draw_shift
from mlops_course.shifts.prices import ACTIONS, SILENT
from mlops_course.shifts.systems import Rehearsed, System
from mlops_course.shifts.worlds import open_world

REFRESH_SECONDS = 0.1
LONG_MINUTES = 240  # an action that takes so long of somebody's day takes a while here, too
PERCENT = 100


class OnCall:
    """A shift on call for the Push-back model.

    Parameters
    ----------
    seed, level
        Draw the shift: ``easy``, ``normal`` or ``hard``.
    shift
        A shift of one's own in place of a drawn one, or the path of a shift file.
    workspace
        The folder in which the steps are kept; by default that of `workspace.open_workspace`.
    play
        A name of `players.PLAYERS`: that one plays the shift to its end, and nothing is kept.
    live
        Whether the shift is played on a real registry and a real service, or in memory, where all
        is the same and quicker; by default on the real ones, unless a scripted player plays.
    fresh
        Begin anew: what was kept of this shift is put aside.

    Attributes
    ----------
    view
        The widget.

    Raises
    ------
    ParameterError
        If there is no such level, player or seed, or the shift file cannot be used.
    WorkspaceError
        If what was kept of this shift cannot be read.
    """

    view: ConsoleView

    def __init__(
        self,
        seed: int = 0,
        level: str = DEFAULT_LEVEL,
        *,
        shift: Shift | Path | str | None = None,
        workspace: Workspace | str | Path | None = None,
        play: str | None = None,
        live: bool | None = None,
        fresh: bool = False,
    ) -> None:
        if play is not None and play not in PLAYERS:
            raise ParameterError(
                f"There is no player {short(repr(play))}.",
                f"There are {', '.join(PLAYERS)}.",
                "Choose one of them, or leave it out and play yourself.",
            )
        self.shift = shift_of(shift) if shift is not None else draw_shift(seed, level)
        self._called = repr_of(seed, level, shift)
        home = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
        self._home = home
        self._world = open_world(home, self.shift)
        self._watched = play not in UNWATCHED
        self.view = ConsoleView(self.title)
        self._kept = KeptConsole()
        self._at = 0
        self._next = 0.0
        self._drawing = threading.RLock()
        self._keeper = Keeper(home, self.shift) if play is None else None
        if self._keeper is not None and fresh:
            self._keeper.claim()
            self._keeper.begin_anew()
        is_live = play is None if live is None else live
        if is_live:  # on the thread of the cells, where no other import gets it half made
            import mlops_course.shifts.live  # noqa: F401
        self._session = Session(self._open_engine, self._keeper, self._changed, live=is_live)
        weakref.finalize(self, _let_go, self._session, self._keeper)
        self.view.obey(self._obey)
        if play is not None:
            self._session.play(PLAYERS[play])
        self._session.begin()
        self._changed(False)

    # ---- what a person does

    def look(self, name: str) -> Page:
        """Look at something; raises what `engine.Engine.look` raises.

        Parameters
        ----------
        name
            A name of `prices.LOOKS`, such as ``overview``.
        """
        self._session.wait()
        self._at = 0
        self._session.look(name)
        return self.pages[0]

    def act(self, name: str, cause: str = "", sure: float = SILENT, **options: Any) -> str:
        """Do something, and return what comes of it; raises what `engine.Engine.act` raises.

        Parameters
        ----------
        name
            A name of `prices.ACTIONS`, such as ``roll-back``.
        cause, sure
            What you think is the matter, a name of `incidents.INCIDENTS`, and how sure you are,
            from 0.5 to 1.
        options
            ``weeks`` to train on; ``rule`` and ``days`` to silence.
        """
        self._session.wait()
        return self._session.act(name, cause=cause, sure=sure, **options)

    def next_day(self) -> str:
        """Let the day end, and return what the next morning brings."""
        self._session.wait()
        self._session.pass_days(until_called=False)
        return self._session.told

    def wait(self) -> str:
        """Let days pass until the pager calls or an answer comes, and return what came."""
        self._session.wait()
        self._session.pass_days(until_called=True)
        return self._session.told

    def score(self) -> Score:
        """Return what the shift came to, beside four other players; takes some seconds once.

        Raises
        ------
        ParameterError
            If the shift is not over.
        """
        self._session.wait()
        self._session.judge(debriefs=False)
        found = self._session.hindsight.score
        assert found is not None
        return found

    def debrief(self) -> Document:
        """Return the truth of the shift beside what was seen and done; takes some seconds once.

        It shows itself, and `Document.save` writes it to a file. Raises what `score` raises.
        """
        return ending.debrief_document(self._debriefed())

    def postmortem(self, incident: str) -> Document:
        """Return a post-mortem of an incident with what is known filled in; `save` writes it.

        Parameters
        ----------
        incident
            Its name in the catalogue, such as ``hours``.

        Raises
        ------
        ParameterError
            If it did not strike, or the shift is not over.
        """
        return ending.postmortem_document(self._debriefed(), self.drill, incident)

    def result(self, path: Path | str, who: str = "") -> Path:
        """Write the steps and the score to a file that others can compare theirs with.

        Raises
        ------
        ParameterError
            If the shift is not over, or the file cannot be written.
        """
        write_result(Path(path), self.drill, self.score(), who)
        return Path(path)

    def _debriefed(self) -> Debrief:
        self._session.wait()
        self._session.judge(debriefs=True)
        found = self._session.hindsight.debrief
        assert found is not None
        return found

    def take_over(self) -> None:
        """Be the console that plays this shift, where another one does."""
        self._session.wait()
        self._session.take_over()
        self._session.wait()

    def begin_again(self) -> None:
        """Begin the shift anew; what was kept of it is put aside."""
        self._session.wait()
        self._at = 0
        self._session.begin_again()
        self._session.wait()

    def close(self) -> None:
        """Stop, and let other consoles play this shift."""
        self._session.close()

    # ---- what can be read

    @property
    def title(self) -> str:
        """What the shift is called."""
        return f"On call: {self.shift.name or self._called}, {self.shift.weeks} weeks"

    @property
    def drill(self) -> Drill:
        """What is known of the shift, its truth included: for whoever judges it."""
        self._session.wait()
        return self._session.drill

    @property
    def over(self) -> bool:
        """Whether the shift has ended."""
        return self.drill.over

    @property
    def alarms(self) -> list[str]:
        """The open alarms, in words."""
        return views.alarm_lines(self.drill) if self.drill.alarms else []

    @property
    def pages(self) -> list[Page]:
        """What was looked at, the newest first."""
        self._session.wait()
        return pages_of(self._session)

    @property
    def log(self) -> list[str]:
        """All that was told and done, in order of time."""
        return list(views.log_lines(self.drill, 0))

    def picture(self) -> Markup:
        """Return the console as it is now as HTML that needs no kernel."""
        return still(self._session, self.title)

    def text(self) -> str:
        """Return the console as it is now as text; after a score, with it."""
        told = still_text(self._session, self.title)
        score = self._session.hindsight.score
        return told if score is None else f"{told}\n{ending.text(score)}"

    def __repr__(self) -> str:
        return self._called

    def _ipython_display_(self) -> None:
        """Show the live widget, and what stands in its place where no kernel runs."""
        self._kept.show(self.text(), self.picture(), self.view)

    def _open_engine(self, live: bool) -> Engine:
        system: System = Rehearsed()
        if live:
            from mlops_course.shifts.live import open_live

            name = self._keeper.place_for_live() if self._keeper is not None else "live"
            system = open_live(self._home, name)
        return Engine(self.shift, self._world, system, watched=self._watched)

    # ---- what the page asks, and how it is shown

    def _obey(self, message: Mapping[str, Any]) -> None:
        """Do what the page asks; what cannot be done is said there."""
        try:
            self._do(message)
        except ParameterError:
            raise
        except CourseError as error:
            raise ParameterError(error.happened, error.expected, error.remedy) from error

    def _do(self, message: Mapping[str, Any]) -> None:
        session = self._session
        match message:
            case {"look": str(name)}:
                self._at = 0
                session.look(name, apart=session.is_live)
            case {"act": str(name), **options}:
                is_long = name in ACTIONS and ACTIONS[name].minutes >= LONG_MINUTES
                session.act(name, apart=is_long or session.is_live, **_options(options))
            case {"order": "next-day" | "wait" as order}:
                session.pass_days(until_called=order == "wait", apart=True)
            case {"order": "stop"}:
                session.stop()
            case {"order": "score"}:
                session.judge(debriefs=True, apart=True)
            case {"order": "take-over"}:
                session.take_over()
            case {"order": "begin-again"}:
                self.begin_again()
            case {"page": int(at)}:
                self._at = min(max(at, 0), max(len(session.engine.pages) - 1, 0))
                self._changed(False)

    def _changed(self, may_wait: bool) -> None:
        """Draw now, or if it may wait, not more often than ten times a second."""
        now = time.monotonic()
        if may_wait and now < self._next:
            return
        with self._drawing:
            self._next = now + REFRESH_SECONDS
            self.view.show(self._session, self._at)
            if not may_wait and self._session.mode not in ("passing", ELSEWHERE):
                self._kept.keep(self.text(), self.picture(), self.view)


def shift_of(given: Shift | Path | str) -> Shift:
    """Return a shift, read from a file if a path is given; raises what `read_shift` raises."""
    if isinstance(given, Shift):
        return given
    if isinstance(given, Path | str):
        return read_shift(Path(given))
    raise ParameterError(
        f"The shift is {short(repr(given))}.",
        "It is a Shift, or the path of a shift file.",
        "Write for instance shift='10_shift.toml'.",
    )


def repr_of(seed: int, level: str, shift: Shift | Path | str | None) -> str:
    """Return how a console is called in code."""
    if shift is not None:
        return f"OnCall(shift={(shift.name if isinstance(shift, Shift) else str(shift))!r})"
    return f"OnCall(seed={seed}" + (f", level={level!r})" if level != DEFAULT_LEVEL else ")")


def _options(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an action is told by the page: a percentage becomes a share."""
    found = dict(told)
    if found.get("cause"):
        found["sure"] = _number(found.get("sure"), "How sure you are") / PERCENT
    else:
        found.pop("cause", None)
        found.pop("sure", None)
    return found


def _number(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(
            f"{what} is {short(repr(value))}.",
            "It is a whole number: per cent, from 50 to 99.",
            "Write one of these.",
        )
    return value


def _let_go(session: Session, keeper: Keeper | None) -> None:
    session.drill.system.close()
    if keeper is not None:
        keeper.release()
