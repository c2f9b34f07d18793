"""A shift on call from the command line: played in the terminal, by a script, or led by a master.

What is asked for goes to stdout, how it goes to stderr.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_course.cli.terminal import DONE, FAILED, end_on_sigterm, say
from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from mlops_course.console.keeping import Keeper
    from mlops_course.oncall.engine import Engine
    from mlops_course.oncall.scoring import Score
    from mlops_course.oncall.state import Drill
    from mlops_course.shifts.plans import Shift
    from mlops_course.shifts.systems import System
    from mlops_course.shifts.worlds import World

POLICIES = ("nothing", "retrain", "rollback", "skilled", "oracle")
MAX_COMPLAINT = 2_000
DAYS_TOLD = 28  # of a shift that is resumed, between two lines that say how far it is


def oncall(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Play a shift, let a scripted player play it, compare results, or show the truth."""
    _check(options)
    if options.compare:
        return _compare(options)
    shift = _shift(options)
    workspace = open_workspace()
    if options.master or options.inject:
        return _lead(options, workspace, shift)
    end_on_sigterm()
    if options.policy:
        return _by_script(options, workspace, shift)
    return _by_hand(options, workspace, shift)


def _check(options: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is loaded or played."""
    if options.policy is not None and options.policy not in POLICIES:
        raise ParameterError(
            f"There is no policy {short(repr(options.policy))}.",
            f"There are {', '.join(POLICIES)}.",
            "Choose one of them, or none to play yourself.",
        )
    if options.json and not options.policy and not options.compare:
        raise ParameterError(
            "--json was given without --policy or --compare.",
            "A shift that you play is shown as you play it.",
            "Name a policy, or leave --json out and use --result.",
        )
    if options.shift is not None and options.level is not None:
        raise ParameterError(
            "A level and a shift file were given.",
            "A shift is drawn at a level, or is what a file says.",
            "Give one of them.",
        )
    if options.day is not None and not options.inject:
        raise ParameterError(
            "--day was given without --inject.", "It says when something strikes.", "Name what."
        )
    for path in (options.result, options.debrief):
        if path is not None and not path.absolute().parent.is_dir():
            raise ParameterError(
                f"There is no folder for {short(path)}.",
                "It is written once the shift is over, into a folder that is there.",
                "Make the folder first, or name another file.",
            )


def _shift(options: argparse.Namespace) -> "Shift":
    from mlops_course.oncall.shift_files import read_shift
    from mlops_course.shifts.plans import DEFAULT_LEVEL, draw_shift

    if options.shift is None:
        return draw_shift(options.seed or 0, options.level or DEFAULT_LEVEL)
    shift = read_shift(options.shift)
    return shift if options.seed is None else replace(shift, seed=_seed(options.seed))


def _seed(seed: int) -> int:
    from mlops_course.shifts.plans import draw_shift

    return draw_shift(seed).seed  # refuses what is none


@contextmanager
def _system(options: argparse.Namespace, workspace: Workspace, name: str) -> Iterator["System"]:
    """Give the block a system to play on, and close it afterwards."""
    from mlops_course.shifts.systems import Rehearsed

    if options.rehearse:
        yield Rehearsed()
        return
    from mlops_course.shifts.live import open_live

    live = open_live(workspace, name)
    try:
        yield live
    finally:
        live.close()


# ---- by a scripted player


def _by_script(options: argparse.Namespace, workspace: Workspace, shift: "Shift") -> int:
    from mlops_course.oncall.engine import Engine
    from mlops_course.oncall.players import PLAYERS, UNWATCHED
    from mlops_course.oncall.scoring import baselines, score
    from mlops_course.shifts.worlds import open_world

    world = open_world(workspace, shift)
    others = baselines(shift, world)
    if options.rehearse and options.policy in others:
        drill = others[options.policy]
    else:
        with _system(options, workspace, f"by-{options.policy}") as system:
            engine = Engine(shift, world, system, watched=options.policy not in UNWATCHED)
            PLAYERS[options.policy](engine)
            drill = engine.drill
    scored = score(drill, others)
    record = summarise(options.policy, drill, scored)
    _leave_behind(options, drill, scored, who=options.who or options.policy)
    if options.json:
        print(json.dumps(record, allow_nan=False))
    else:
        for line in _lines(record):
            print(line)
    return DONE


def summarise(policy: str, drill: "Drill", scored: "Score") -> dict[str, Any]:
    """Return a shift that a script played as the object that ``oncall --json`` prints."""
    from mlops_course.oncall.results import incidents_record
    from mlops_course.shifts.prices import ACTIONS

    return {
        "seed": drill.shift.seed,
        "policy": policy,
        "harm": scored.harm.total,
        "harm_by": {name: harm.total for name, harm in scored.others.items()},
        "incidents": incidents_record(scored),
        "actions": [
            {
                "day": step.day.isoformat(),
                "minute": step.minute,
                "name": step.name,
                **step.options,
            }
            for step in drill.steps
            if step.name in ACTIONS
        ],
    }


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    others = ", ".join(f"{name} {harm:,.0f}" for name, harm in record["harm_by"].items())
    yield f"{record['policy']}: {record['harm']:,.0f} flights called wrong. Beside it: {others}."
    for incident in record["incidents"]:
        end = f"right from {incident['resolved']} on" if incident["resolved"] else "never right"
        named = "named" if incident["right"] else "not named"
        yield f"{incident['from']} to {incident['to']}  {incident['name']:<16} {end}, {named}"


# ---- by whoever sits at the terminal


def _by_hand(options: argparse.Namespace, workspace: Workspace, shift: "Shift") -> int:
    from mlops_course.console.keeping import Keeper
    from mlops_course.oncall.engine import Engine
    from mlops_course.shifts.worlds import open_world

    keeper = Keeper(workspace, shift)
    keeper.claim()
    try:
        if options.afresh:
            keeper.begin_anew()
        before = keeper.read()
        say(f"{shift.name}: {shift.first} to {shift.last}. Getting ready ...")
        world = open_world(workspace, shift)
        with _system(options, workspace, keeper.place_for_live()) as system:
            engine = Engine(shift, world, system)
            if before:
                _resume(engine, before)
            over = _console(engine, keeper).play()
    finally:
        keeper.release()
    if not over:
        say(f"The steps are kept in {keeper.place.steps}; the same command goes on from there.")
        return DONE
    return _end(options, engine.drill, world)


def _resume(engine: "Engine", steps: Sequence[Any]) -> None:
    """Do the kept steps again, and say how far it is."""
    from mlops_course.oncall.engine import NEXT_DAY

    say(f"Going on: {len(steps)} steps are done again.")
    days = 0
    for step in engine.replay(steps):
        days += step.name == NEXT_DAY
        if step.name == NEXT_DAY and days % DAYS_TOLD == 0:
            say(f"  up to {engine.drill.today}")


def _console(engine: "Engine", keeper: "Keeper") -> Any:
    from mlops_course.console.text_mode import TextConsole

    def write(line: str) -> None:
        print(line, flush=True)

    def read(prompt: str) -> str:
        sys.stdout.flush()
        line = input(prompt if sys.stdin.isatty() else "")
        if not sys.stdin.isatty():
            write(f"{prompt}{short(line)}")  # so that a transcript reads as it was played
        return line

    if sys.stdin is None:
        raise ParameterError(
            "There is no standard input.", "A shift is played by typing.", "Use --policy instead."
        )
    return TextConsole(
        engine,
        read,
        write,
        lambda: keeper.write(engine.drill),
        lambda: keeper.take_up(engine),
    )


def _end(options: argparse.Namespace, drill: "Drill", world: "World") -> int:
    """Score a shift that is over, and tell it in hindsight."""
    from mlops_course.oncall.scoring import baselines, score

    say("The shift is over. Four others play it now, to compare ...")
    scored = score(drill, baselines(drill.shift, world))
    say("And once more, to see what there was to be seen ...")
    print(_leave_behind(options, drill, scored, who=options.who, told=True))
    return DONE


def _leave_behind(
    options: argparse.Namespace,
    drill: "Drill",
    scored: "Score",
    who: str,
    told: bool = False,
) -> str:
    """Write the files that were asked for; return the debrief as text if it is to be told."""
    from mlops_course.oncall.results import write_result

    if options.result is not None:
        write_result(options.result, drill, scored, who)
        say(f"saved {options.result}")
    if not told and options.debrief is None:
        return ""
    from mlops_course.debriefing.debrief import debrief, sections
    from mlops_course.debriefing.documents import as_markdown, as_text
    from mlops_course.debriefing.postmortem import export, template

    found = debrief(drill, scored)
    if options.debrief is not None:
        parts = [template(found, chapter, drill) for chapter in found.chapters]
        export("\n".join([as_markdown(sections(found)), *parts]), options.debrief)
        say(f"saved {options.debrief}")
    return as_text(sections(found))


# ---- several results, and the game master


def _compare(options: argparse.Namespace) -> int:
    from mlops_course.oncall.results import compare

    found = compare(options.compare, open_workspace())
    if options.json:
        record = {"results": found.rows, "sentence": found.sentence, "faults": found.faults}
        print(json.dumps(record))
    else:
        print(f"{'who':<20} {'harm':>10} {'saved':>7} {'ended':>6} {'named':>6}  file")
        for row in found.rows:
            harm = "-" if row["harm"] is None else f"{row['harm']:,.1f}"
            saved = "-" if row["saved"] is None else f"{row['saved']:.0%}"
            ended = f"{row['resolved']}/{row['incidents']}"
            named = f"{row['named']}/{row['incidents']}"
            print(
                f"{row['who']:<20} {harm:>10} {saved:>7} {ended:>6} {named:>6}  "
                f"{short(row['file'])}"
            )
        print(found.sentence)
    for fault in found.faults:
        say(short(fault, MAX_COMPLAINT))
    return FAILED if found.faults else DONE


def _lead(options: argparse.Namespace, workspace: Workspace, shift: "Shift") -> int:
    """Show the truth of a shift, and have something strike in it."""
    from mlops_course.console import kept

    place = kept.place_of(workspace, shift)
    if options.inject:
        print(kept.inject(place, options.inject, options.day))
    if options.master:
        print(f"{shift.name}: {shift.first} to {shift.last}. The play is at {kept.reached(place)}.")
        for row in kept.calendar(place):
            print(
                f"{row['from']} to {row['to']}  {row['name']}; upstream {row['upstream answers']}"
            )
            print(f"    best: {row['best']}. {row['visible']}")
        if place.injections.exists():
            print(f"Waiting to be taken up: {place.injections}")
    return DONE
