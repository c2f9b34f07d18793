"""Figures in prose stand in the outputs; the guard is shown red on planted ones."""

import copy
from pathlib import Path

import claims
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:2])


def notebook(said, shown="", source="", figures=None):
    outputs = [new_output("stream", name="stdout", text=shown)]
    metadata = {"figures": figures} if figures else {}
    return new_notebook(
        cells=[new_markdown_cell(said, metadata=metadata), new_code_cell(source, outputs=outputs)]
    )


@each_notebook
def test_claims_when_a_lesson_has_figures_then_each_stands_in_an_output_or_names_its_source(path):
    found = list(claims.unsupported(nbformat.read(path, as_version=4)))
    assert not found, "\n".join([path.name, *found])


@each_notebook
def test_claims_when_a_false_figure_is_planted_then_is_named_with_its_cell(path):
    false = copy.deepcopy(nbformat.read(path, as_version=4))
    number = next(
        number
        for number, cell in enumerate(false.cells)
        if number > 0 and cell.cell_type == "markdown" and claims.prose(cell)
    )
    false.cells[number].source += "\n\nIt gained 43.717 points on 87,654,321 flights."
    found = list(claims.unsupported(false))
    assert f"cell {number} says 43.717; no cell shows it" in found
    assert f"cell {number} says 87,654,321; no cell shows it" in found


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("It printed 422.", "415"),
        ("It printed 12 rows.", "11.7 minutes"),
        ("It printed 422.\n\n### 04.1 A day\n\nAt 12:30.", "415"),
        ("Accuracy is .863.", "0.8645"),
        ("Accuracy is 0.8631.", "0.863"),
        ("It is 86.3%.", "0.8645"),
        ("It is 7% of them.", "0.061"),
        ("It fell 3.7 points.", "3.8"),
        ("There are 336,776 flights.", "336,77 and 6"),
        ("On 17 March it rained.", "2013-03-18"),
        ("At 12:30 it rained.", "12:31"),
        ("From 2013-03-18 on.", "2013-03-19"),
        ("| asked | 422 |\n|---|---|", "415"),
    ],
)
def test_claims_when_no_cell_shows_the_figure_then_says_so(said, shown):
    (found,) = claims.unsupported(notebook(said, shown))
    assert found.endswith("no cell shows it")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("It printed 415.", "415 flights"),
        ("Accuracy is .863.", "0.86312"),
        ("It is 86.3%, or 86%.", "0.8631"),
        ("It is .863.", "86.3%"),
        ("It fell 3.7 points.", "-0.0372"),
        ("There are 336,776 flights.", "336,776"),
        ("Of 1,000 rows.", "rows = 1_000"),
        ("On 17 March it rained.", "2013-03-17"),
        ("On 17 March it rained.", "Sun 17 Mar"),
        ("At 12:30 it rained.", "12:30"),
        ("One of 3 gates.", ""),
        ("After Page 1954; | Massey 1951 | (Vovk and others 2005).", ""),
        ("Lessons 03 and 04, lesson 05 to 07; see 04.2 and 05.b.", ""),
        ("**Time:** about 60 minutes.", ""),
        ("Leave out *Streams* (20 minutes).", ""),
        ("See [there](06_safe_releases.ipynb#In-42-words).", ""),
        ("```\nmlflow server --port 5000\n```", ""),
        ("### 04.1 A day\n\n| 12:30 | 422 |\n|---|---|", ""),
    ],
)
def test_claims_when_a_cell_shows_it_or_nothing_is_claimed_then_says_nothing(said, shown):
    assert list(claims.unsupported(notebook(said, shown))) == []
    assert list(claims.unsupported(notebook(said, source=shown))) == []


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"336,776": "README.md"}, []),
        ({"336,776": "Wickham, nycflights13 on CRAN, 2021"}, []),
        ({"336,776": "somewhere else"}, ["cell 0 names 'somewhere else' for 336,776"]),
        ({"336,776": "LICENSE"}, ["cell 0 names 'LICENSE' for 336,776"]),
        ({"336,776": "README.md", "41": "README.md"}, ["cell 0 names a source for 41"]),
        ({}, ["cell 0 says 336,776"]),
    ],
)
def test_claims_when_metadata_names_a_source_then_it_must_have_the_figure(figures, told):
    found = list(claims.unsupported(notebook("All 336,776 flights.", figures=figures)))
    assert len(found) == len(told)
    assert all(one.startswith(begin) for one, begin in zip(found, told, strict=True))
