"""What the texts promise is there: every link, and every cell named as proof."""

import importlib
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

CLONE = Path(__file__).parents[2]
NOTEBOOKS = CLONE / "notebooks"
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
TEXTS = {
    **{path.name: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))},
    **{path.name: path for path in sorted(CLONE.glob("*.md"))},
    "mlops_course/README.md": CLONE / "mlops_course" / "README.md",
}


def text_of(path: Path) -> str:
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def said_in(path: Path) -> str:
    """Everything that a text says, code and exercises included."""
    if path.suffix == ".ipynb":
        return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    return path.read_text(encoding="utf-8")


IMPORT = re.compile(r"from (mlops_course[\w.]*) import \(?([\w, ]+)")
NAMING = {
    str(path.relative_to(CLONE)): said_in(path)
    for path in [
        *sorted(NOTEBOOKS.glob("*.ipynb")),
        *sorted(CLONE.glob("*.md")),
        *sorted((CLONE / "mlops_course").rglob("*.toml")),
        CLONE / "mlops_course" / "README.md",
        CLONE / "binder" / "postBuild",
    ]
}


def sections(path: Path) -> dict[str, set[int]]:
    """Map each heading, as JupyterLab links to it, to the numbers of the code cells below it."""
    found: dict[str, set[int]] = {}
    heading, number = "", 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            number += 1
            found.setdefault(heading, set()).add(number)
            continue
        for title in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE):
            heading = title.strip().replace(" ", "-")
            found.setdefault(heading, set())
    return found


def silent(path: Path) -> set[int]:
    """Return the numbers of the code cells that show nothing, and so prove nothing."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return {number for number, cell in enumerate(cells, start=1) if not cell.outputs}


@pytest.mark.parametrize("name", TEXTS)
def test_link_when_it_points_into_the_clone_then_its_target_exists(name):
    path = TEXTS[name]
    for _, target, heading in LINK.findall(text_of(path)):
        if ":" in target or not target:
            continue
        assert (path.parent / target).exists(), target
        if heading and target.endswith(".ipynb"):
            assert heading in sections(path.parent / target), heading


@pytest.mark.parametrize("name", NAMING)
def test_room_when_named_in_a_text_then_it_exists_and_has_what_is_imported_from_it(name):
    text = NAMING[name]
    for file in re.findall(r"mlops_course/(?!\S*NN)[\w/]+\.\w+", text):
        assert (CLONE / file).exists(), file
    for room, names in IMPORT.findall(text):
        module = importlib.import_module(room)
        for one in re.findall(r"\w+", names):
            assert hasattr(module, one) or has_room(f"{room}.{one}"), f"{room}.{one}"
    for room in re.findall(r"(?<!from )\bmlops_course(?:\.[a-z_]+)+", text):
        assert has_room(room) or has_room(room.rpartition(".")[0]), room


def has_room(dotted: str) -> bool:
    try:
        return importlib.util.find_spec(dotted) is not None
    except ModuleNotFoundError:
        return False


def test_takeaways_when_listed_then_every_one_names_a_cell_that_shows_it_or_lessons_to_come():
    rows = re.findall(
        r"^\| \*\*([TM]\d)\*\* .*\| (.+) \|$", text_of(TEXTS["00_start_here.ipynb"]), re.M
    )
    assert [name for name, _ in rows] == ["T1", "T2", "T3", "T4", "T5", "M1", "M2", "M3"]
    for name, proof in rows:
        links = LINK.findall(proof)
        assert links or proof.startswith("lessons "), name
        for label, target, heading in links:
            lesson, cell = re.fullmatch(r"(\d\d), cell (\d+)", label).groups()
            assert target.startswith(lesson)
            assert int(cell) in sections(NOTEBOOKS / target)[heading], label
            assert int(cell) not in silent(NOTEBOOKS / target), label


def test_lessons_when_listed_in_the_readme_then_ready_means_that_the_notebook_is_there():
    rows = re.findall(
        r"^\| (\d\d) \| (.+?) \|.*\| (ready|to come) \|$", text_of(TEXTS["README.md"]), re.M
    )
    assert [number for number, _, _ in rows] == [f"{n:02}" for n in range(11)]
    for number, _, state in rows:
        assert bool(list(NOTEBOOKS.glob(f"{number}_*.ipynb"))) == (state == "ready"), number
