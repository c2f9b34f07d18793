"""Figures in a notebook's prose, held against what its cells print and say.

A figure is a number of two digits or more, a percentage, or a number with decimals. It is supported
if an output or a code cell of the same notebook has it at the precision written, or if the cell's
metadata names under `figures` where it stands: a file of the clone, or a reference in words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path

import nbformat
from guards import code_cells, texts_of
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
METADATA = "figures"
MIN_REFERENCE_WORDS = 3
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

# What looks like a figure and claims nothing.
EXEMPT = (
    r"(?ms)^### \d\d\.\d.*",  # an exercise's task, to the end of its cell
    r"(?s)```.*?```",  # commands and files that are shown
    r"(?m)^\*\*Time:\*\*.*$",  # stated minutes
    r"\(\d+ minutes\)",
    r"\]\([^)]*\)",  # where a link leads
    r"<[^>]+>",
    r"(?i)\blessons? \d\d(?:(?:,| to| and|, and) \d\d)*",
    r"\bcells? \d+",
    r"\b(?:0\d|10)\.[1-9a-z]\b(?! ?%| points)",  # exercises and questions
    r"\b\d\d_\w+(?:\.\w+)?",  # files
    r"\b[A-Z]\w+(?: and others)? (?:1[89]|20)\d\d\b",  # a paper, by its author and year
    r"(?m)^#+ .*$",
)

_DATE = re.compile(rf"\b(\d{{1,2}}) ({'|'.join(MONTHS)})\b")
_EXACT = re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}:\d\d\b")
_FIGURE = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?![\d\w])(?:\s?%| points?\b)?"
)
_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d[\d_]*)?(?:\.\d+|(?<=\d))(?:e[-+]?\d+)?%?")


@dataclass(frozen=True)
class Figure:
    """A number as the prose has it.

    Attributes
    ----------
    text
        As written, without its unit.
    share
        Whether it is said in percent or in points, so that .863 supports 86.3.
    """

    text: str
    share: bool = False

    @property
    def value(self) -> float:
        return float(self.text.replace(",", ""))

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])

    def is_supported_by(self, numbers: Iterable[float]) -> bool:
        """Whether one of the numbers is this one, at the precision written."""
        whole = self.decimals == 0 and not self.share
        tolerance = 1e-9 if whole else 0.5 * 10**-self.decimals + 1e-9
        scales = (1, 100) if self.share else (1, 0.01) if "." in self.text else (1,)
        return any(
            abs(number * scale - self.value) <= tolerance for number in numbers for scale in scales
        )


def unsupported(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each figure in prose that nothing supports."""
    shown = "\n".join(evidence(notebook))
    numbers = numbers_in(shown)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        named: Mapping[str, str] = cell.metadata.get(METADATA, {})
        said = prose(cell)
        missing = {text for text in exact_in(said) if not is_shown(text, shown)}
        missing |= {one.text for one in figures_in(said) if not one.is_supported_by(numbers)}
        yield from (
            f"cell {number} says {text}; no cell shows it" for text in sorted(missing - set(named))
        )
        for text, source in named.items():
            if text not in missing:
                yield f"cell {number} names a source for {text} without need"
            elif not holds(source, text):
                yield f"cell {number} names {source!r} for {text}, which does not have it"


def prose(cell: NotebookNode) -> str:
    """Return what a markdown cell says, without what claims nothing."""
    said = unescape(cell.source)
    for pattern in EXEMPT:
        said = re.sub(pattern, " ", said)
    return said


def exact_in(said: str) -> set[str]:
    """Return the dates and times of day in a text, as written."""
    dates = {match.group() for match in _DATE.finditer(said) if len(match[1]) > 1}
    return dates | set(_EXACT.findall(said))


def figures_in(said: str) -> Iterator[Figure]:
    """Yield the figures of a text, apart from dates and times of day."""
    for match in _FIGURE.finditer(_DATE.sub(" ", _EXACT.sub(" ", said))):
        text = re.match(r"[\d,.]*", match.group())[0].rstrip(",")
        share = len(text) < len(match.group())
        if re.search(r"\d", text) and (share or "." in text or len(text) > 1):
            yield Figure(text, share)


def is_shown(text: str, shown: str) -> bool:
    """Whether a date or a time of day stands in a text, in any of its usual forms."""
    if not (date := _DATE.fullmatch(text)):
        return text in shown
    day, month = int(date[1]), MONTHS.index(date[2]) + 1
    forms = (f"-{month:02}-{day:02}", text, f"{day:02} {date[2][:3]}", f"{date[2][:3]} {day:02}")
    return any(form in shown for form in forms)


def numbers_in(text: str) -> set[float]:
    """Return all numbers of a text, without their units."""
    found: set[float] = set()
    for match in _NUMBER.findall(text):
        digits = re.sub(r"[,_%]", "", match)
        if digits and digits != ".":
            found.add(float(digits))
    return found


def evidence(notebook: NotebookNode) -> Iterator[str]:
    """Yield what supports a claim: the sources and the texts of the outputs of code cells."""
    for cell in code_cells(notebook):
        yield cell.source
        for output in cell.outputs:
            yield from texts_of(output)


def holds(source: str, text: str) -> bool:
    """Whether a source named for a figure is a file that has it, or a reference in words."""
    path = ROOT / source
    if not path.is_file():
        return len(source.split()) >= MIN_REFERENCE_WORDS
    kept = read(path)
    if _DATE.fullmatch(text) or _EXACT.fullmatch(text):
        return is_shown(text, kept)
    numbers = numbers_in(kept)
    return any(Figure(text, share).is_supported_by(numbers) for share in (False, True))


@cache
def read(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n".join(evidence(nbformat.read(path, as_version=4)))
    return path.read_text(encoding="utf-8")
