"""The ML Test Score of the course's system: 28 tests, and the evidence for each so far.

A test scores half a point when it was done by hand with its result written down, one when it
runs by itself; the final score is the least of the four sections' sums. Evidence is a check
that really ran, never a tick-box.

Source: Breck, Cai, Nielsen, Salib and Sculley, *The ML Test Score: a rubric for ML production
readiness and technical debt reduction*, IEEE Big Data 2017.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_course.core.errors import ParameterError, WorkspaceError
from mlops_course.core.files import write_text
from mlops_course.core.verdicts import Verdict
from mlops_course.core.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

BY_HAND = 0.5
AUTOMATED = 1.0
SECTIONS = ("data", "model", "infrastructure", "monitoring")
MEANING = """\
A square is one of the 28 tests (the second of the first row is data.2). Filled: a lesson left
evidence, 1 from a check that runs by itself, ½ from one done by hand. Dash: does not apply here."""


@dataclass(frozen=True)
class Row:
    """One test of the rubric; ``not_here`` says why it does not apply to this system."""

    key: str
    text: str
    not_here: str = ""


@dataclass(frozen=True)
class Evidence:
    """What earned a row its points: the lesson, what ran, and what it saw."""

    key: str
    lesson: str
    points: float
    ran: str
    seen: str


def rows() -> Mapping[str, Row]:
    """Return the 28 tests by key, such as ``data.1``."""
    text = files("mlops_course.course").joinpath("texts", "score.toml").read_text(encoding="utf-8")
    return {entry["key"]: Row(**entry) for entry in tomllib.loads(text)["row"]}


def record(
    workspace: Workspace, key: str, lesson: str, verdict: Verdict, *, automated: bool = True
) -> Evidence:
    """Keep a verdict as evidence for one row; the row's better evidence stays.

    Raises
    ------
    ParameterError
        If there is no such row, it does not apply here, or the verdict did not pass.
    WorkspaceError
        If the workspace was deleted, or the score card's file is damaged.
    """
    row = rows().get(key)
    if row is None or row.not_here:
        why = row.not_here if row else f"The keys are {', '.join(rows())}."
        raise ParameterError(f"{key!r} cannot score.", why, "Record evidence for another row.")
    if not verdict.passed or not verdict.checks:
        raise ParameterError(
            f"{key} earns nothing: {' '.join(verdict.failures) or 'nothing was checked.'}",
            "Evidence is a verdict that passed.",
            "Repair what failed, and run it again.",
        )
    seen = f"{len(verdict.checks)} checks passed"
    points = AUTOMATED if automated else BY_HAND
    new = Evidence(key, lesson, points, verdict.subject, seen)
    kept = evidence(workspace)
    if key not in kept or kept[key].points < points:
        kept = {**kept, key: new}
        listed = [asdict(kept[name]) for name in sorted(kept)]
        try:
            write_text(_file(workspace), json.dumps(listed, indent=1))
        except OSError as error:
            raise WorkspaceError(
                f"The evidence could not be written to {_file(workspace)} ({error.strerror}).",
                "The workspace must be there, and writable.",
                "Run the lesson's first cell again, which makes the workspace or says what to do.",
            ) from error
    return kept[key]


def evidence(workspace: Workspace) -> dict[str, Evidence]:
    """Return the evidence so far, by row.

    Raises
    ------
    WorkspaceError
        If its file is damaged.
    """
    if not _file(workspace).exists():
        return {}
    try:
        listed = json.loads(_file(workspace).read_text(encoding="utf-8"))
        return {entry["key"]: Evidence(**entry) for entry in listed}
    except (ValueError, TypeError, KeyError) as error:
        raise WorkspaceError(
            f"The score card's file {_file(workspace)} is damaged.",
            "It holds the evidence for the ML Test Score, as JSON.",
            "Move it away; each lesson that you run again brings its evidence back.",
        ) from error


def sections(workspace: Workspace) -> dict[str, float]:
    """Return the points of each section."""
    sums = dict.fromkeys(SECTIONS, 0.0)
    for found in evidence(workspace).values():
        sums[found.key.partition(".")[0]] += found.points
    return sums


@dataclass(frozen=True, repr=False)
class ScoreCard:
    """The card as it stands, as a sentence and as a picture: one square a test."""

    workspace: Workspace

    def __repr__(self) -> str:
        sums = sections(self.workspace)
        listed = ", ".join(f"{section} {points:g}" for section, points in sums.items())
        return f"ML Test Score {min(sums.values()):g} ({listed})"

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        buffer = BytesIO()
        render(self.workspace).savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def render(workspace: Workspace) -> "Figure":
    """Draw the card: one square a test, with its number, filled by what it earned."""
    from matplotlib.figure import Figure

    known = evidence(workspace)
    figure = Figure(figsize=(7, 2.7), layout="constrained")
    axes = figure.subplots()
    for height, section in enumerate(reversed(SECTIONS)):
        listed = [row for row in rows().values() if row.key.startswith(f"{section}.")]
        for place, row in enumerate(listed):
            points = known[row.key].points if row.key in known else 0.0
            axes.add_patch(_square(place, height, points))
            mark = "–" if row.not_here else {0.5: "½", 1.0: "1"}.get(points, "")
            ink = "white" if points == AUTOMATED else "black"
            axes.text(place + 0.45, height + 0.4, mark, ha="center", va="center", color=ink)
            number = row.key.rpartition(".")[2]
            axes.text(place + 0.06, height + 0.74, number, va="top", fontsize=7, color=ink)
        axes.text(-0.2, height + 0.4, section, ha="right", va="center")
        axes.text(7.2, height + 0.4, f"{sections(workspace)[section]:g}", va="center")
    axes.text(-2.2, -0.15, MEANING, va="top", fontsize=8)
    axes.set(xlim=(-2.2, 8), ylim=(-1.0, 4.1))
    least = min(sections(workspace).values())
    axes.set_title(f"ML Test Score {least:g}: the weakest section decides", fontsize=11)
    axes.axis("off")
    return figure


def _square(place: float, height: float, points: float) -> "Rectangle":
    from matplotlib.patches import Rectangle

    colour = {0.0: "white", BY_HAND: "#56B4E9", AUTOMATED: "#0072B2"}[points]
    return Rectangle((place, height), 0.9, 0.8, facecolor=colour, edgecolor="#555555")


def _file(workspace: Workspace) -> Path:
    return workspace.root / "score.json"
