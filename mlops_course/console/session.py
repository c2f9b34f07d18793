"""A shift at work behind the console: one thing at a time, kept step by step, on a thread if long.

Clicks and long work come from threads of their own: whoever reads the drill holds `lock`.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, TypeVar

from mlops_course.console.ending import Hindsight
from mlops_course.console.keeping import Keeper
from mlops_course.console.kept import Elsewhere
from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.oncall.engine import NEXT_DAY, Engine
from mlops_course.oncall.state import ANSWER, PAGER, Drill, Entry, Step

PLAYING = "playing"
PASSING = "passing"
WORKING = "working"
RESUMING = "resuming"
SCORING = "scoring"
ELSEWHERE = "elsewhere"
BROKEN = "broken"
OVER = "over"
HAND_OVER_SECONDS = 10.0
WEEK_DAYS = 7
Result = TypeVar("Result")
BUSY = (PASSING, WORKING, RESUMING, SCORING)


class Session:
    """A shift, what was done on it, and what is being done.

    Parameters
    ----------
    open_engine
        Returns the shift at its beginning: on the real system, or in memory.
    keeper
        Keeps the steps; None to keep nothing.
    changed
        Called when something is to be shown anew; with True when that may wait a little.
    live
        Whether to play on the real system.

    Attributes
    ----------
    lock
        Held by whoever reads or changes the drill.
    mode
        One of the modes above.
    engine, is_live
        The shift in play, and whether on the real system, which may take a moment to answer.
    told
        What was said last.
    called
        What the pager said last, as days passed.
    trouble, progress
        Why the last thing asked for was not done, and how far something long has come.
    hindsight
        What the shift came to, as far as that was asked for.
    """

    def __init__(
        self,
        open_engine: Callable[[bool], Engine],
        keeper: Keeper | None,
        changed: Callable[[bool], None],
        *,
        live: bool = False,
    ) -> None:
        self.lock = threading.RLock()
        self._open_engine = open_engine
        self._keeper = keeper
        self._changed = changed
        self._live = live
        self.is_live = False
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._closed = False
        self._gives_way = False
        self._restarts = 0
        self.engine = open_engine(False)
        self.mode = PLAYING
        self.told = ""
        self.called = ""
        self.trouble = ""
        self.progress = ""
        self.hindsight = Hindsight()
        _ALL.add(self)

    @property
    def drill(self) -> Drill:
        """What is known of the shift."""
        return self.engine.drill

    # ---- what is asked of it

    def begin(self) -> None:
        """Take the shift up where its record ends, on a thread if that takes a while.

        Raises
        ------
        WorkspaceError
            If the record is broken.
        """
        steps = self._kept_steps()
        try:
            self._claim()
        except Elsewhere as error:
            self._give_way(str(error))
        if steps or (self._live and not self._gives_way):
            self._run(RESUMING, self._resume, apart=True)

    def look(self, name: str, *, apart: bool = False) -> None:
        """Look at something; the newest of the engine's pages is what was seen."""

        def work() -> None:
            found = self._kept(lambda: self.engine.look(name))
            self.told = f"{found.title}: {found.lines[0]}"

        self._run(WORKING, work, apart=apart)

    def act(self, name: str, *, apart: bool = False, **options: Any) -> str:
        """Do something; ``apart`` on a thread, and then what comes of it is told later."""

        def work() -> None:
            self.told = self._kept(lambda: self.engine.act(name, **options))

        self._run(WORKING, work, apart=apart)
        return self.told

    def pass_days(self, *, until_called: bool, apart: bool = False) -> None:
        """Let a day pass, or days until the pager calls, an answer comes or the shift ends."""
        self._run(PASSING, lambda: self._pass(until_called), apart=apart)

    def play(self, player: Callable[[Engine], None]) -> None:
        """Let a scripted player play to the end."""
        self._run(PASSING, lambda: player(self.engine))

    def stop(self) -> None:
        """Let no further day pass."""
        self._stopped = True

    def take_over(self) -> None:
        """Be the console that plays this shift, from where the other one left it, on a thread."""
        self._check_free(BUSY)
        self._claim(force=True)
        self._gives_way = False
        self._run(RESUMING, self._resume, apart=True)

    def begin_again(self) -> None:
        """Put the record aside, and begin the shift anew."""
        self._check_free((*BUSY, ELSEWHERE))
        self._claim()
        if self._keeper is not None:
            self._keeper.begin_anew()
        with self.lock:
            self._renew(live=False)
            self.hindsight = Hindsight()
            self.mode = PLAYING
            self.called = ""
            self.trouble = ""
            self.told = "The shift begins anew."
        if self._live:
            self._run(RESUMING, self._resume, apart=True)
        self._changed(False)

    def hand_over(self, other: Keeper) -> None:
        """Give way to another console of this program, if it plays the same shift."""
        if self._keeper is None or self._keeper.place != other.place or self._gives_way:
            return
        self.stop()
        self.wait(HAND_OVER_SECONDS)
        with self.lock:
            self._give_way("A newer console of this notebook plays this shift.")
            self.drill.system.close()
        self._changed(False)

    def judge(self, *, debriefs: bool, apart: bool = False) -> None:
        """Set the shift beside four other players, and debrief it if that is asked for.

        Raises
        ------
        ParameterError
            If it is not over.
        """
        if not self.drill.over:
            raise ParameterError(
                "The shift is not over.",
                f"It ends on {self.drill.shift.last}; then it is scored.",
                "Go on playing.",
            )
        if not self.hindsight.is_complete(debriefs):
            self._run(SCORING, lambda: self._judge(debriefs), apart=apart)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for what is done on a thread; False if time ran out."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            return not thread.is_alive()
        return True

    def close(self) -> None:
        """Stop, and let others play this shift."""
        self._closed = True
        self.stop()
        self.wait()
        self.drill.system.close()
        if self._keeper is not None:
            self._keeper.release()

    # ---- how it is done

    def _run(self, mode: str, work: Callable[[], None], *, apart: bool = False) -> None:
        """Do one thing at a time; what goes wrong is raised here, or told where it is apart."""
        with self.lock:
            self._check_free(BUSY if mode == RESUMING else (*BUSY, ELSEWHERE))
            self.mode = mode
            self.trouble = ""
            self._stopped = False
        if not apart:
            self._work(work)
            return
        self._changed(False)
        self._thread = threading.Thread(
            target=self._work_apart, args=(work,), name="mlops-on-call", daemon=True
        )
        self._thread.start()

    def _work(self, work: Callable[[], None]) -> None:
        after = BROKEN if self.mode == RESUMING else ""
        try:
            work()
            after = ""
        except Elsewhere as error:
            self._give_way(str(error))
            raise
        except BaseException as error:
            self.trouble = _why(error)
            raise
        finally:
            with self.lock:
                self.progress = ""
                settled = OVER if self.drill.over else PLAYING
                self.mode = ELSEWHERE if self._gives_way else after or settled
                if self.mode == OVER:
                    self.drill.system.close()
            self._changed(False)

    def _work_apart(self, work: Callable[[], None]) -> None:
        with suppress(CourseError):  # it stands in `trouble`; anything else is logged as well
            self._work(work)

    def _claim(self, *, force: bool = False) -> None:
        if self._keeper is None:
            return
        self._keeper.claim(force=force)
        for other in list(_ALL):
            if other is not self:
                other.hand_over(self._keeper)

    def _check_free(self, hindering: tuple[str, ...]) -> None:
        if self.mode in hindering:
            raise ParameterError(*_HINDERED[self.mode])
        if self._closed:
            raise ParameterError(
                "This console was closed.",
                "A closed one shows the shift and plays it no further.",
                "Make another: it goes on where this one was.",
            )

    def _give_way(self, why: str) -> None:
        with self.lock:
            self._gives_way = True
            self.mode = ELSEWHERE
            self.told = why

    def _kept(self, work: Callable[[], Result]) -> Result:
        """Do a step and keep it; one that another console would not know of is not done."""
        if self._keeper is not None:
            self._keeper.check()
        with self.lock:
            done = work()
        if self._keeper is not None:
            self._keeper.write(self.drill)
        return done

    def _pass(self, until_called: bool) -> None:
        begun = self.drill.today
        while not self.drill.over:
            before = len(self.drill.log)
            self._kept(self.engine.next_day)
            news = self.drill.log[before:]
            self._tell_day(begin=begun, news=news, unusable=self._take_up())
            heard = any(entry.kind in (PAGER, ANSWER) for entry in news)
            if heard or not until_called or self._stopped:
                return
            self._changed(True)

    def _take_up(self) -> str:
        """Inject what a game master has written; what it is must not be told."""
        with self.lock:
            return self._keeper.take_up(self.engine) if self._keeper is not None else ""

    def _tell_day(self, begin: date, news: list[Entry], unusable: str) -> None:
        drill = self.drill
        days = (drill.today - begin).days
        passed = "A day has passed." if days == 1 else f"{days} days have passed."
        calls = [entry.text for entry in news if entry.kind == PAGER]
        with self.lock:
            self.called = f"The pager calls: {' '.join(calls)}" if calls else ""
            said = [entry.text for entry in news if entry.kind != PAGER]
            died = [_RESTARTED] if drill.system.restarts > self._restarts else []
            self._restarts = drill.system.restarts
            self.told = " ".join([passed, *calls, *said, *died, unusable]).strip()
            self.progress = f"{passed} It is {drill.today}."

    def _kept_steps(self) -> list[Step]:
        return self._keeper.read() if self._keeper is not None else []

    def _resume(self) -> None:
        """Begin on the system that is wanted, and do the kept steps that are not done yet."""
        steps = self._kept_steps()
        wants_live = self._live and not self._gives_way and not self._ends_with(steps)
        done = len(self.drill.steps)
        if list(self.drill.steps) != steps[:done] or (wants_live and not self.is_live):
            self._renew(live=wants_live)
            done = 0
        replayed: Iterator[object] = self.engine.replay(steps[done:])
        for number in range(done + 1, len(steps) + 1):
            if self._closed:
                return
            with self.lock:
                next(replayed)
                self.progress = f"Taking the shift up again: step {number} of {len(steps)}."
            self._changed(True)
        if steps and not self._gives_way:
            self.told = f"The shift goes on where it was: {len(steps)} steps were done again."

    def _ends_with(self, steps: Sequence[Step]) -> bool:
        days = sum(step.name == NEXT_DAY for step in steps)
        return days >= self.drill.shift.weeks * WEEK_DAYS

    def _renew(self, *, live: bool) -> None:
        """Begin anew, on the real system or in memory; in memory, too, if the real one fails."""
        self.drill.system.close()
        engine = None
        if live:
            self.progress = "Starting the registry and the service."
            self._changed(False)
            try:
                engine = self._open_engine(True)
            except CourseError as error:
                self._live = False
                self.trouble = f"{error} Until then the shift is played in memory: all else is so."
        with self.lock:
            self.is_live = engine is not None
            self._restarts = 0
            self.engine = engine or self._open_engine(False)

    def _judge(self, debriefs: bool) -> None:
        self.hindsight.judge(self.drill, self._tell_progress)
        self.told = "Its score stands below."
        self._changed(False)
        if debriefs:
            self.hindsight.look_back(self.drill, self._tell_progress)
            self.told = "Its score and its debrief stand below."

    def _tell_progress(self, words: str) -> None:
        self._check_free(())
        self.progress = words
        self._changed(True)


_ALL: "weakref.WeakSet[Session]" = weakref.WeakSet()
_RESTARTED = "The scoring service had died; it was started again, and answered all requests."
_HINDERED = {
    PASSING: ("Days are passing.", "One thing is done at a time.", "Press Stop, or wait."),
    WORKING: ("Something is being done.", "One thing is done at a time.", "Wait a moment."),
    RESUMING: ("The shift is being taken up.", "One thing is done at a time.", "Wait for its end."),
    SCORING: ("The shift is being scored.", "One thing is done at a time.", "Wait some seconds."),
    ELSEWHERE: (
        "Another console plays this shift.",
        "One console at a time writes what is done; this one only shows it.",
        "Go on there, or take the shift over here.",
    ),
}


def _why(error: BaseException) -> str:
    if isinstance(error, CourseError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted. What was done before is kept."
    return f"{type(error).__name__}: {error} (not foreseen: please report it)."
