"""A page of the dashboard: the same figures as a table for the eye, for a reader, and as text."""

import re

import pytest

from mlops_course.console.page import NOT_KNOWN, Page
from mlops_course.oncall.looks import Look
from mlops_course.shifts.prices import LOOKS


@pytest.fixture(scope="module")
def pages(called):
    for name in LOOKS:
        called.look(name)
    return {look.name: Page(look, step.day, step.minute) for step, look in called.pages}


def test_page_when_shown_then_its_table_has_a_caption_and_named_columns_and_rows(pages):
    html = str(pages["overview"].html())
    assert "<caption>" in html and 'tabindex="0"' in html
    assert html.count('scope="col"') == len(pages["overview"].cells[0])
    assert html.count('scope="row"') == len(pages["overview"].cells) - 1


def test_cells_when_they_are_shares_then_are_percentages_and_nothing_known_is_said(pages):
    head, first, *_ = pages["overview"].cells
    row = dict(zip(head, first, strict=True))
    assert re.fullmatch(r"\d+\.\d%", row["called late"])
    assert row["usual flights"] == NOT_KNOWN
    figures = {row[0]: row[1] for row in pages["rows"].cells}
    assert figures["weather, empty"].endswith("%") and figures["flights"] == "65,075"


def test_page_when_read_as_text_then_every_cell_is_there(pages):
    for page in pages.values():
        text = repr(page)
        assert text.startswith(page.title)
        assert all(cell in text for row in page.cells for cell in row)


def test_page_when_it_has_no_table_then_is_its_lines_alone():
    page = Page(Look("upstream", ("They were asked.",)))
    assert page.cells == [] and "<table>" not in page.html()


def test_page_when_a_line_holds_markup_then_it_is_text():
    assert "<b>" not in Page(Look("upstream", ("<b>bold</b>",))).html()
