"""What a stored notebook looks like, and how two of them differ.

`normalised` leaves only what two runs have in common: no timestamps, random ids, versions
or widget models. `differences` tells in a few lines where a fresh run disagrees.
"""

import base64
import copy
import difflib
import hashlib
import io
import platform
import re
import sys
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
PASSING = {"ExecuteTime", "collapsed", "execution", "papermill", "scrolled", "trusted"}
CELLS_SHOWN, LINES_SHOWN, WIDTH_SHOWN = 3, 12, 150
# A cell with this tag draws what this very run has measured, such as latencies; its pictures are
# not compared, its words are.
MEASURED = "measured"
LAX = (
    "Stored outputs are promised digit by digit on Linux x86-64 alone; on this system numbers and "
    "pictures are not compared, the words and the kinds of output are."
)

_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?%?")
_DRAWING = re.compile(r"data:image/svg\+xml;base64,([\w/+=]+)")


def is_exact_here() -> bool:
    """Whether this system is the one on which every digit of the outputs is promised."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return a copy that is the same for every run with the same sources and results."""
    fresh = copy.deepcopy(notebook)
    fresh.nbformat, fresh.nbformat_minor = 4, 5
    fresh.metadata.pop("widgets", None)
    fresh.metadata.pop("papermill", None)
    fresh.metadata["kernelspec"] = dict(KERNELSPEC)
    fresh.metadata["language_info"] = {"name": "python"}
    used: set[str] = set()
    for cell in fresh.cells:
        cell["id"] = _stable_id(cell, used)
        for name in PASSING & set(cell.metadata):
            del cell.metadata[name]
        if cell.cell_type == "code":
            cell.outputs = _tidy(cell.outputs)
    return fresh


def text_of(notebook: NotebookNode) -> str:
    """Return the notebook as the text of its file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def differences(stored: NotebookNode, fresh: NotebookNode, *, exact: bool) -> list[str]:
    """Compare two normalised notebooks; return the lines that tell where they disagree.

    Parameters
    ----------
    exact
        Whether digits count. Pictures of the same content always pass, since their bytes
        depend on the processor.
    """
    before, after = stored.cells, fresh.cells
    if [cell.source for cell in before] != [cell.source for cell in after]:
        return ["the cells themselves differ, not only their outputs"]
    found: list[str] = []
    differing = 0
    for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        lines = list(_cell_difference(old, new, exact))
        if not lines:
            continue
        differing += 1
        if differing <= CELLS_SHOWN:
            first = old.source.strip().partition("\n")[0]
            found += [f"cell {number}, which begins with: {first}"[:WIDTH_SHOWN], *lines]
    if differing > CELLS_SHOWN:
        found.append(f"... and {differing - CELLS_SHOWN} more cells")
    return found


def unpacked(html: str) -> str:
    """Return HTML with the drawings in its data URIs as readable SVG, an element a line."""

    def unpack(match: re.Match[str]) -> str:
        svg = base64.b64decode(match.group(1)).decode("utf-8")
        return "\n" + svg.replace("><", ">\n<") + "\n"

    return _DRAWING.sub(unpack, html)


def _stable_id(cell: NotebookNode, used: set[str]) -> str:
    """Name a cell after its content, so that it keeps its id when others come or go."""
    digest = _digest(f"{cell.cell_type}\n{cell.source}")
    name, again = digest, 1
    while name in used:
        again += 1
        name = f"{digest}-{again}"
    used.add(name)
    return name


def _tidy(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join streams that arrived in pieces, and leave out models that live in a kernel only."""
    kept: list[NotebookNode] = []
    streams: dict[str, NotebookNode] = {}
    for output in outputs:
        if output.output_type == "stream" and output.name in streams:
            streams[output.name].text += output.text
            continue
        if output.output_type == "stream":
            streams[output.name] = output
        if "data" in output:
            # The text or picture stored beside a widget is shown until a kernel runs. With the
            # widget in the file, a trusted notebook without a kernel would say "Loading widget..."
            # for ever, even where its state is stored, and an HTML page needs the internet.
            output.data.pop(WIDGET, None)
            output.metadata = NotebookNode()
            if not output.data:
                continue
        kept.append(output)
    return kept


def _cell_difference(old: NotebookNode, new: NotebookNode, exact: bool) -> Iterator[str]:
    """Yield a short diff of one cell's outputs; nothing if they agree."""
    if old.cell_type != "code":
        return
    before, after = _lines(old, exact), _lines(new, exact)
    if before == after or (exact and _lines(old, exact, _pictures(old, new)) == after):
        return
    diff = difflib.unified_diff(before, after, "stored", "fresh run", n=1, lineterm="")
    lines = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    for line in lines[:LINES_SHOWN]:
        yield f"    {line}"[:WIDTH_SHOWN]
    if len(lines) > LINES_SHOWN:
        yield f"    ... and {len(lines) - LINES_SHOWN} more lines"


def _lines(cell: NotebookNode, exact: bool, pictures: dict[str, str] | None = None) -> list[str]:
    """Lay a cell's outputs out as lines: the count, then each output under its kind."""
    lines = [f"[execution count] {cell.execution_count}"]
    for output in cell.outputs:
        for kind, text in sorted(_parts(output)):
            if kind.startswith("image/") and not kind.endswith("xml"):
                name = _digest(text)
                name = (pictures or {}).get(name, name)
                same = exact and MEASURED not in cell.metadata.get("tags", [])
                lines.append(f"[{kind}] {name if same else 'a picture'}")
            else:
                text = unpacked(text)
                text = text if exact else " ".join(_NUMBER.sub("#", text).split())
                lines += [f"[{kind}] {line}" for line in text.splitlines()]
    return lines


def _parts(output: NotebookNode) -> Iterator[tuple[str, str]]:
    if output.output_type == "stream":
        yield output.name, output.text
    elif output.output_type == "error":
        yield "error", f"{output.ename}: {output.evalue}"
    else:
        for kind, content in output.data.items():
            yield kind, content if isinstance(content, str) else repr(content)


def _pictures(old: NotebookNode, new: NotebookNode) -> dict[str, str]:
    """Map a stored picture's digest to that of the fresh one in its place, if they look alike."""
    pairs = zip(_pngs(old), _pngs(new), strict=False)
    alike = (pair for pair in pairs if pair[0] != pair[1] and _look_alike(*pair))
    return {_digest(one): _digest(other) for one, other in alike}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _pngs(cell: NotebookNode) -> list[str]:
    return [text for output in cell.outputs for kind, text in _parts(output) if kind == "image/png"]


def _look_alike(one: str, other: str) -> bool:
    """Whether two PNGs have one size and differ by less than half a grey level on average."""
    from PIL import Image, ImageChops, ImageStat

    first, second = (Image.open(io.BytesIO(base64.b64decode(png))) for png in (one, other))
    if first.size != second.size:
        return False
    gap = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    return max(ImageStat.Stat(gap).mean) < 0.5
