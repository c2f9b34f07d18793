from mlops_course.debriefing.documents import Section, Table, as_html, as_markdown, as_text

HOSTILE = "a | <b> \x1b[2J"
TABLE = Table("Looks", ("page", "of"), (("rows", HOSTILE), ("weeks", "long " * 40)))
SECTIONS = [Section("Debrief", (HOSTILE,), TABLE, 1), Section("Empty")]


def test_text_when_shown_in_a_terminal_then_nothing_acts_and_lines_are_short():
    text = as_text(SECTIONS)
    assert "\x1b" not in text and "a | <b> ?[2J" in text
    assert max(map(len, text.splitlines())) <= 88
    assert text.startswith("Debrief\n=======")


def test_markdown_when_shown_then_cells_and_headings_hold():
    text = as_markdown(SECTIONS)
    assert "# Debrief\n" in text and "## Empty\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 4 and rows[2].count(" | ") == 1 and "<b>" not in text


def test_html_when_shown_then_headings_and_tables_are_named_and_text_is_escaped():
    page = as_html(SECTIONS, heading=3)
    assert "<h3>Debrief</h3>" in page and "<h4>Empty</h4>" in page
    assert "<caption>Looks</caption>" in page and '<th scope="row">rows</th>' in page
    assert '<th scope="col">page</th>' in page and 'aria-label="Looks"' in page
    assert "&lt;b&gt;" in page and "<b>" not in page
