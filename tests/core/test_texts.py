import pytest

from mlops_course.core.texts import in_markdown, one_line, short
from mlops_course.core.verdicts import Check, Verdict, as_markdown

ODD = [
    "a|b",
    "a\n| x | pass | y |",
    "a\r\n# heading",
    "a\\",
    "a\\|b",
    "`code`",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "[here](https://a.example)",
    "![x](https://a.example/x.png)",
    "https://a.example www.a.example",
    "**bold** ~~gone~~",
    "\x1b[2J\x07\x00",
    "\u202eevil\u2066",
    "\u2028\u2029\x85\x0b\x0c",
    "\ud800",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", ODD)
def test_verdict_when_a_text_is_hostile_then_the_table_keeps_its_shape_and_makes_no_markup(text):
    check = Check(text, False, text)
    lines = as_markdown(Verdict("m", (check, check)), text).splitlines()
    assert len(lines) == 6 and all(line.isprintable() for line in lines)
    assert lines[0].startswith("## ") and lines[2:4] == [
        "| check | result | seen |",
        "|---|---|---|",
    ]
    for line in lines[4:]:
        plain = line.replace("\\\\", "").replace("\\|", "")
        assert plain.count("|") == 4 and "<" not in plain and "**FAIL**" in plain


@pytest.mark.parametrize("text", ODD)
def test_markdown_when_rendered_then_is_read_as_it_was_written(text):
    markdown_it = pytest.importorskip("markdown_it")
    html = pytest.importorskip("html")
    shown = (
        markdown_it.MarkdownIt().enable("table").render(f"| a |\n|---|\n| {in_markdown(text)} |")
    )
    cell = shown.split("<td>")[1].split("</td>")[0]
    assert html.unescape(cell) == one_line(text)


@pytest.mark.parametrize("text", ODD)
def test_sentence_when_it_quotes_a_text_then_quotes_one_short_line(text):
    assert len(short(text)) <= 200 and short(text).isprintable()
    assert one_line(text).isprintable()
