"""Rules that every notebook of the course keeps, one function each.

A guard takes a notebook and yields a sentence for everything that breaks its rule.
"""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from nbformat import NotebookNode
from sections import left_out_in_an_hour, parted, section
from squeeze import squeezed
from stored import unpacked

MAX_LINES, USUAL_LINES, USUAL_SHARE = 15, 8, 0.75
MIN_WORDS, MAX_WORDS = 1_000, 2_600
MIN_CELLS, MAX_CELLS = 14, 36
MAX_MORE_WORDS, MAX_MORE_CELLS = 900, 12

Guard = Callable[[NotebookNode], Iterator[str]]

# Nothing that differs from run to run or from machine to machine may be stored.
UNSTABLE = {
    "a memory address": r"\b0x[0-9a-fA-F]{6,}",
    "a path": r"(?<![\w.:/])/(?:home|Users|root|tmp|var|work|mnt|opt|usr)/[\w.-]|\b[A-Z]:\\\w",
    "a file URL": r"file://|sqlite:///",
    "a port": r"(?:127\.0\.0\.1|localhost):\d+",
    "a random id": r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    "a git commit": r"\b[0-9a-f]{40}\b",
    "a time stamp": r"\b20[2-9]\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d[.,]\d+",
}

# What nbval cannot compare, what a second machine may not have, and what hides from the tests.
BANNED = {
    "interact(": r"\binteract(?:ive|ive_output)?\(",
    "with Output()": r"^\s*with\s+[\w.]*[Oo]utput\b",
    "clear_output": r"\bclear_output\b",
    "an updated display": r"\bdisplay\(.*\)\.update|\bupdate_display\b|display_id\s*=",
    "a package installer": r"^\s*[!%]{1,2}\s*(?:pip|conda|mamba|uv)\b",
    "a shell command": r"^\s*!|^\s*%%(?:bash|sh|script)\b|\bos\.system\(",
    "a timing magic": r"^\s*%{1,2}(?:time|timeit|prun)\b",
    "an address on the internet": r"https?://(?!127\.0\.0\.1|localhost)",
    "a question to the keyboard": r"\b(?:input|getpass)\(",
    "an exemption from nbval": r"NBVAL_(?:IGNORE_OUTPUT|SKIP|RAISES_EXCEPTION)|PYTEST_VALIDATE_",
}
TRUE = r"([A-Za-z][^\n:{},'\"]*): True\b"
NOISE = (
    r"(?s:```.*?```)",
    r"(?m:^\s*\|.*$)",
    r"<[^>]+>",
    r"!\[[^\]]*\]\([^)]*\)",
    r"\]\([^)]*\)",
)
EXEMPTING_TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "raises-exception"}


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed_in_order(notebook: NotebookNode) -> Iterator[str]:
    """Hold that code cells were run once each, from the first to the last."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != number:
            yield f"code cell {number} has execution count {cell.execution_count}"


def no_errors(notebook: NotebookNode) -> Iterator[str]:
    """Hold that no stored output is an error."""
    for number, output in _outputs(notebook):
        if output.output_type == "error":
            yield f"code cell {number} has stored {output.ename}: {output.evalue}"


def no_stderr(notebook: NotebookNode) -> Iterator[str]:
    """Hold that nothing was written to the error stream, warnings included."""
    for number, output in _outputs(notebook):
        if output.output_type == "stream" and output.name == "stderr":
            yield f"code cell {number} has stored on stderr: {output.text.strip()[:80]}"


def outputs_are_stable(notebook: NotebookNode) -> Iterator[str]:
    """Hold that outputs have no addresses, paths, ids, ports or times of this very run."""
    for number, output in _outputs(notebook):
        for text in texts_of(output):
            for what, pattern in UNSTABLE.items():
                if found := re.search(pattern, text):
                    yield f"code cell {number} has stored {what}: {found.group()}"


def every_picture_has_a_number(notebook: NotebookNode) -> Iterator[str]:
    """Hold that a plot comes with printed figures, since tests do not compare pixels."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        drawn = any("image/png" in output.get("data", {}) for output in cell.outputs)
        said = (text for output in cell.outputs for text in texts_of(output))
        if drawn and not any(re.search(r"\d", re.sub(r"<Figure .*?>", "", text)) for text in said):
            yield f"code cell {number} draws a picture and prints no figure beside it"


def no_banned_calls(notebook: NotebookNode) -> Iterator[str]:
    """Hold that cells do nothing that cannot be compared or needs the internet."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for what, pattern in BANNED.items():
            if re.search(pattern, cell.source, re.MULTILINE):
                yield f"code cell {number} uses {what}"
        for tag in EXEMPTING_TAGS & set(cell.metadata.get("tags", [])):
            yield f"code cell {number} is tagged {tag}"


def cells_are_short(notebook: NotebookNode) -> Iterator[str]:
    """Hold that no cell is longer than 15 lines, and three in four not than 8."""
    lengths = [len(_lines(cell)) for cell in code_cells(notebook)]
    for number, length in enumerate(lengths, start=1):
        if length > MAX_LINES:
            yield f"code cell {number} has {length} lines; {MAX_LINES} is the limit"
    short = sum(length <= USUAL_LINES for length in lengths)
    if short < USUAL_SHARE * len(lengths):
        yield f"only {short} of {len(lengths)} code cells have at most {USUAL_LINES} lines"


def length_is_a_lesson(notebook: NotebookNode) -> Iterator[str]:
    """Hold that a lesson has 1,000 to 2,600 words and 14 to 36 code cells; what is more, fewer."""
    lesson, more = parted(notebook)
    words, cells = count_words(lesson), len(code_cells(lesson))
    if not MIN_WORDS <= words <= MAX_WORDS:
        yield f"it has {words} words; {MIN_WORDS} to {MAX_WORDS} make a lesson"
    if not MIN_CELLS <= cells <= MAX_CELLS:
        yield f"it has {cells} code cells; {MIN_CELLS} to {MAX_CELLS} make a lesson"
    words, cells = count_words(more), len(code_cells(more))
    if words > MAX_MORE_WORDS or cells > MAX_MORE_CELLS:
        yield (
            f"its other half hour has {words} words and {cells} code cells;"
            f" {MAX_MORE_WORDS} and {MAX_MORE_CELLS} are the limits"
        )


def text_comes_first(notebook: NotebookNode) -> Iterator[str]:
    """Hold that some text stands before each code cell."""
    number = 0
    for before, cell in pairwise([None, *notebook.cells]):
        if cell.cell_type == "code":
            number += 1
            if before is None or before.cell_type != "markdown" or not before.source.strip():
                yield f"code cell {number} has no text before it"


def one_hour_is_marked(notebook: NotebookNode) -> Iterator[str]:
    """Hold that what is left out in an hour are sections, and nothing later lessons build on."""
    for heading in left_out_in_an_hour(notebook):
        cells = section(notebook, heading)
        if not cells:
            yield f"in an hour it leaves out {heading!r}, which is no section"
        elif any("leaves" in cell.metadata.get("tags", []) for cell in cells):
            yield f"in an hour it leaves out {heading!r}, on which later lessons build"


def code_is_not_squeezed(notebook: NotebookNode) -> Iterator[str]:
    """Hold that code is one statement a line, and a check is picked by its name."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for fault in squeezed(ast.parse(cell.source)):
            yield f"code cell {number}, {fault}"


def opens_with_title_and_promise(notebook: NotebookNode) -> Iterator[str]:
    """Hold that the first cell has a title and a sentence on what the reader will gain."""
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not re.match(r"# \S", first.source):
        yield "the first cell does not begin with a title (# ...)"
        return
    after = [line for line in first.source.splitlines()[1:] if line.strip()]
    if not after or after[0].startswith(("#", "|", "!", "<", "[")):
        yield "no sentence with the promise follows the title"


GUARDS: tuple[Guard, ...] = (
    executed_in_order,
    no_errors,
    no_stderr,
    outputs_are_stable,
    every_picture_has_a_number,
    no_banned_calls,
    cells_are_short,
    length_is_a_lesson,
    text_comes_first,
    one_hour_is_marked,
    code_is_not_squeezed,
    opens_with_title_and_promise,
)


def count_words(notebook: NotebookNode) -> int:
    """Count the words of running text: no code, tables, markup or addresses."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for noise in NOISE:
        text = re.sub(noise, " ", text)
    return len(re.findall(r"\w[\w'’.,/-]*", text))


def statements(cell: NotebookNode) -> set[str]:
    """Return what a cell's outputs say is true: the words before a printed ``True``."""
    said = "\n".join(text for output in cell.outputs for text in texts_of(output))
    return {re.sub(r"\d+", "#", words).strip() for words in re.findall(TRUE, said)}


def _lines(cell: NotebookNode) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip()]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            yield number, output


def texts_of(output: NotebookNode) -> Iterator[str]:
    """Yield all text of an output: streams, results, and drawings packed into HTML."""
    if output.output_type == "stream":
        yield output.text
    for kind, content in output.get("data", {}).items():
        if kind == "image/svg+xml" or not kind.startswith("image/"):
            text = content if isinstance(content, str) else repr(content)
            yield re.sub(r"data:[\w/+.-]+;base64,[\w/+=]+", "", unpacked(text))
