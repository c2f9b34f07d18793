"""Building the table of models by weeks: train each once, ask each about all later weeks, keep it.

It takes minutes of a processor, so what is made is kept in the workspace's cache, a file for each
world and window, and equal trainings of several worlds are done once.
"""

import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.core.workspace import Workspace
from mlops_course.deciding.decisions import Window
from mlops_course.pipeline import stages
from mlops_course.pipeline.production import MIN_WEEK_ROWS, looked_at
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.retraining import keeping
from mlops_course.retraining.matrix import WINDOWS, Matrix, Part, Stretch, Trained, assembled
from mlops_course.retraining.worlds import World, inputs_of, open_worlds, truths
from mlops_course.training.model import DelayModel, called_late
from mlops_course.training.trainer import TrainingConfig, train

KEPT = ("date", "late", "dep_delay", "origin", "carrier")

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Job:
    """A step of building: what is trained after one week on one window, for several worlds.

    Attributes
    ----------
    place
        The workspace's root and its cache, by their paths.
    worlds, seed, weeks, shuffle
        As for `worlds.open_worlds`.
    after, window
        After which week, and on what; 0 and None for the first model.
    """

    place: tuple[str, str]
    worlds: tuple[str, ...]
    seed: int | None
    weeks: int | None
    shuffle: int | None
    after: int
    window: Window | None


@dataclass(frozen=True)
class Answers:
    """A model, and what it says of the weeks after its training: a row of a `matrix.Part`."""

    model: Trained
    calls: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class _Place:
    """Where the tables of some worlds are kept."""

    workspace: Workspace
    seed: int | None
    weeks: int | None
    shuffle: int | None

    def length(self, name: str) -> int:
        """Return how many weeks a world has."""
        return RunConfig(name, self.weeks, self.seed).planned_weeks

    def days(self, name: str) -> keeping.Days:
        """Return which days a world has."""
        return keeping.Days(self.seed, self.shuffle, self.length(name))

    def stretch(self, name: str) -> Path:
        """Return the file of a world's weeks."""
        return keeping.stretch_file(self.workspace, name, self.days(name))

    def part(self, name: str, window: Window | None) -> Path:
        """Return the file of a window's models."""
        return keeping.part_file(self.workspace, name, self.days(name), window)

    def steps(self, name: str, window: Window | None) -> range:
        """Return the weeks after which a window's models are trained."""
        return range(1, self.length(name)) if window else range(1)

    def jobs(self, missing: Mapping[Window | None, Sequence[str]]) -> Iterator[Job]:
        """Yield the steps that give each window's models for some worlds."""
        place = (str(self.workspace.root), str(self.workspace.cache))
        for window, names in missing.items():
            steps = {name: self.steps(name, window) for name in names}
            for after in sorted(set().union(*steps.values())):
                some = tuple(name for name in names if after in steps[name])
                yield Job(place, some, self.seed, self.weeks, self.shuffle, after, window)


def build(
    workspace: Workspace,
    worlds: Sequence[str],
    windows: Sequence[Window] = WINDOWS,
    *,
    seed: int | None = None,
    weeks: int | None = None,
    shuffle: int | None = None,
    again: bool = False,
    processes: int = 1,
    tell: Progress = lambda done, of: None,
) -> dict[str, Matrix]:
    """Return the table of each world, from the cache where it is there.

    A step is a training on one window, of up to one model for each world. Whatever was finished is
    kept, window by window, if this is interrupted.

    Parameters
    ----------
    worlds
        Keys of `scenarios.SCENARIOS`.
    windows
        What models are trained on at the end of each week but the last.
    seed
        Draws the days anew; None takes them as they were.
    weeks
        Weeks of production; None takes each scenario's own number.
    shuffle
        Puts the year's days into another order; None leaves them in their own.
    again
        Whether to make again what the cache has.
    processes
        How many programs train side by side.
    tell
        Called with the number of steps done and of all of them, from 0 on.

    Raises
    ------
    ParameterError
        If there is no such scenario, or a number is out of range.
    WorkspaceError
        If the cache cannot be written.
    """
    _check_numbers(len(worlds), len(windows), processes)
    place = _Place(workspace, seed, weeks, shuffle)
    stretches = {name: _stretch(place, name, again) for name in worlds}
    wanted = [None, *dict.fromkeys(windows)]
    parts = {} if again else _kept(place, stretches, wanted)
    for name, window, part in _made(place, _missing(stretches, wanted, parts), processes, tell):
        keeping.save_part(part, place.part(name, window))
        parts[name, window] = part
    return {
        name: assembled(
            stretch, [parts[name, window] for window in wanted if place.steps(name, window)]
        )
        for name, stretch in stretches.items()
    }


def _check_numbers(worlds: int, windows: int, processes: int) -> None:
    if min(worlds, windows, processes) < 1:
        raise ParameterError(
            f"There are {worlds} worlds, {windows} windows and {processes} processes.",
            "A table has a world and a window, and at least one program builds it.",
            "Write for instance build(workspace, ['real-year'], [Window(13)]).",
        )


def _kept(
    place: _Place, names: Iterable[str], windows: Sequence[Window | None]
) -> dict[tuple[str, Window | None], Part]:
    """Return the parts that the cache has."""
    found = {}
    for name, window in product(names, windows):
        part = keeping.load_part(place.part(name, window))
        if part is not None:
            found[name, window] = part
    return found


def _missing(
    names: Iterable[str],
    windows: Sequence[Window | None],
    parts: Mapping[tuple[str, Window | None], Part],
) -> dict[Window | None, list[str]]:
    """Return the worlds of which a window's part is still to be made."""
    missing: dict[Window | None, list[str]] = {}
    for window, name in product(windows, names):
        if (name, window) not in parts:
            missing.setdefault(window, []).append(name)
    return missing


def _stretch(place: _Place, name: str, again: bool) -> Stretch:
    """Return the weeks of a world, from the cache or made and kept."""
    path = place.stretch(name)
    kept = None if again else keeping.load_stretch(path)
    if kept is not None:
        return kept
    days = (place.seed, place.weeks, place.shuffle)
    world = open_worlds(place.workspace, [name], *days)[name]
    seen = [week.seen_at(looked_at(week))[list(KEPT)] for week in world.weeks]
    starts = np.cumsum([0, *map(len, seen)])
    flights = pd.concat(seen, ignore_index=True)
    stretch = Stretch(name, place.seed, place.shuffle, tuple(truths(world)), flights, starts)
    keeping.save_stretch(stretch, path)
    return stretch


def _made(
    place: _Place,
    missing: Mapping[Window | None, Sequence[str]],
    processes: int,
    tell: Progress,
) -> Iterator[tuple[str, Window | None, Part]]:
    """Do all steps, and yield each part when its last one is done."""
    jobs = list(place.jobs(missing))
    tell(0, len(jobs))
    rows: dict[tuple[str, Window | None], dict[int, Answers]] = {}
    for done, (job, answers) in enumerate(_results(jobs, processes), start=1):
        for name, answer in answers.items():
            found = rows.setdefault((name, job.window), {})
            found[job.after] = answer
            if len(found) == len(place.steps(name, job.window)):
                ordered = [found[after] for after in sorted(found)]
                yield name, job.window, _as_part(ordered)
        tell(done, len(jobs))


def _as_part(rows: Sequence[Answers]) -> Part:
    return Part(
        tuple(row.model for row in rows),
        np.stack([row.calls for row in rows]),
        np.stack([row.confidence for row in rows]),
    )


def _results(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Mapping[str, Answers]]]:
    """Yield each job with what it gave, in any order."""
    if processes == 1 or len(jobs) < 2:
        try:
            for job in jobs:
                yield job, do(job)
        finally:
            _worlds.cache_clear()
        return
    fresh = get_context("spawn")
    with ProcessPoolExecutor(processes, fresh, initializer=_end_with_parent) as pool:
        waiting = {pool.submit(do, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting.pop(future), future.result()
        finally:
            for future in waiting:
                future.cancel()


def _end_with_parent() -> None:
    """Let a helper end when its program does, even if that is killed; else it would wait on."""

    def watch(parent: BaseProcess) -> None:
        parent.join()
        os._exit(1)

    if (parent := parent_process()) is not None:
        threading.Thread(target=watch, args=(parent,), daemon=True).start()


# ---- one step


def do(job: Job) -> dict[str, Answers]:
    """Train what a job asks for, and ask each model about the weeks after; by worlds."""
    worlds = _worlds(job.place, job.worlds, job.seed, job.weeks, job.shuffle)
    models: dict[Hashable, tuple[Trained, DelayModel | None]] = {}
    said: dict[Hashable, tuple[np.ndarray, float]] = {}
    found = {}
    for name in job.worlds:
        world = worlds[name]
        key = _key(world, job)
        if key not in models:
            models[key] = _trained(world, job)
        trained, model = models[key]
        if model is not None:
            _ask(world, model, key, job.after, said)
        found[name] = _answers(world, trained, key, said)
    return found


@lru_cache(maxsize=1)
def _worlds(
    place: tuple[str, str],
    names: tuple[str, ...],
    seed: int | None,
    weeks: int | None,
    shuffle: int | None,
) -> dict[str, World]:
    """Return the worlds of a job, which the next one will ask for as well."""
    root, cache = map(Path, place)
    return open_worlds(Workspace(root, cache), names, seed, weeks, shuffle)


def _key(world: World, job: Job) -> Hashable:
    """Return what a training learns from; equal keys, equal models."""
    scenario = world.scenario
    if job.window is None:
        return scenario.first
    inside = range(max(1, job.after - (job.window.weeks or job.after) + 1), job.after + 1)
    struck = tuple(world.struck(number) for number in inside)
    return scenario.first, scenario.label_hours, struck


def _trained(world: World, job: Job) -> tuple[Trained, DelayModel | None]:
    """Do what the loop does after a week: gather, validate, train."""
    config = TrainingConfig(random_state=world.seed or 0)
    if job.window is None:
        result = train(world.earlier[0], config)
        return Trained(0, None, result.rows, frozenset({""})), result.model
    weeks = world.weeks[: job.after]
    chosen = stages.gather(job.window, world.earlier, weeks, looked_at(weeks[-1])).made
    inside = {week.monday.isoformat(): week.number for week in weeks}
    numbers = [inside.get(monday) for monday in chosen.mondays]
    regimes = frozenset(world.incident(number) if number else "" for number in numbers)
    verdict = stages.validate(chosen.rows, int(chosen.whole_weeks * MIN_WEEK_ROWS)).made
    if not verdict.passed:
        return Trained(job.after, job.window, 0, regimes, verdict.failures[0]), None
    try:
        result = train(chosen.rows, config)
    except DataError as error:
        return Trained(job.after, job.window, 0, regimes, error.happened), None
    return Trained(job.after, job.window, result.rows, regimes), result.model


def _ask(
    world: World,
    model: DelayModel,
    key: Hashable,
    after: int,
    said: dict[Hashable, tuple[np.ndarray, float]],
) -> None:
    """Add what a model says of each later week of a world that it was not asked about before."""
    new = {}
    for week in world.weeks[after:]:
        place = (key, week.number, world.inputs_struck(week.number))
        if place not in said:
            new[place] = inputs_of(week).encoded(model.vocabulary)
    if not new:
        return
    with threadpool_limits(1):
        probability = model.probability_of(np.concatenate(list(new.values())))
    ends = np.cumsum([len(rows) for rows in new.values()])
    for place, part in zip(new, np.split(probability, ends[:-1]), strict=True):
        said[place] = (called_late(part), float(np.maximum(part, 1 - part).mean()))


def _answers(
    world: World,
    trained: Trained,
    key: Hashable,
    said: Mapping[Hashable, tuple[np.ndarray, float]],
) -> Answers:
    calls = []
    confidence = np.full(len(world.weeks), np.nan)
    for week in world.weeks:
        answer = said.get((key, week.number, world.inputs_struck(week.number)))
        if answer is None or week.number <= trained.after:
            calls.append(np.zeros(len(week.flights), dtype=bool))
        else:
            calls.append(answer[0])
            confidence[week.number - 1] = answer[1]
    return Answers(trained, np.packbits(np.concatenate(calls)), confidence)
