"""Squeezed code is found, in the files to take home too, and nothing else is."""

import ast
from pathlib import Path

import pytest
from squeeze import squeezed

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FILES = sorted(NOTEBOOKS.rglob("*.py"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a, b = 1, 2", ["line 1: two assignments in one"]),
        ("a, b = pair", []),
        ("x = [i for row in rows for i in row]", ["line 1: a comprehension with two loops"]),
        ("x = [i for i in row]", []),
        ("x = 1; y = 2", ["line 1: two statements"]),
        ("def f():\n    for i in y:\n        z(i)", []),
        ("[print(i) for i in row]", ["line 1: a comprehension for its side effect"]),
        ("any(print(i) for i in row)", ["line 1: a comprehension for its side effect"]),
        ("print({name: f(name) for name in row})", []),
        ("rows.append({name: f(name) for name in row})", []),
        ("verdict.checks[3].seen", ["line 1: a check picked by its number"]),
        ("checks[-1]", ["line 1: a check picked by its number"]),
        ("all(checks[1:])", ["line 1: a check picked by its number"]),
        ("checks['enough rows']", []),
        ("checks[name]", []),
    ],
)
def test_squeezed_code_when_looked_for_then_is_found_and_nothing_else(source, found):
    assert list(squeezed(ast.parse(source))) == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(NOTEBOOKS)))
def test_file_to_take_home_when_read_then_nothing_in_it_is_squeezed(path):
    assert not list(squeezed(ast.parse(path.read_text(encoding="utf-8"))))
