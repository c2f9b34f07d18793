"""Each rule for notebooks goes red on a notebook that breaks it, and on nothing else."""

import base64
import copy

import guards
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sections import MORE, left_out_in_an_hour, one_hour, parted

MORE_HEADING = f"## {MORE}"


def result(text, kind="text/plain"):
    return new_output("execute_result", data={kind: text}, execution_count=1)


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


@pytest.fixture
def lesson():
    """A notebook that keeps every rule."""
    words = " ".join(["Flights leave and arrive."] * 20)
    cells = [new_markdown_cell("# A lesson\n\n*You will see a rule kept.*\n")]
    for number in range(1, 15):
        outputs = [printed(f"week {number}, 2013-09-02, accuracy 0.915\n")]
        cells += [
            new_markdown_cell(words),
            new_code_cell("score(week)", execution_count=number, outputs=outputs),
        ]
    return new_notebook(cells=cells)


def first_code(lesson):
    return guards.code_cells(lesson)[0]


def with_output(output):
    def spoil(lesson):
        first_code(lesson).outputs.append(output)

    return spoil


def with_source(source):
    def spoil(lesson):
        first_code(lesson).source = source

    return spoil


def strip_counts(lesson):
    for cell in guards.code_cells(lesson):
        cell.execution_count = None


def skip_a_count(lesson):
    guards.code_cells(lesson)[-1].execution_count += 1


def tag_as_exempt(lesson):
    first_code(lesson).metadata["tags"] = ["nbval-ignore-output"]


def make_many_cells_longer(lesson):
    for cell in guards.code_cells(lesson)[:4]:
        cell.source = "\n".join(["score(week)"] * 9)


def drop_a_text(lesson):
    del lesson.cells[3]


def drop_most_texts(lesson):
    for cell in lesson.cells[3::2]:
        cell.source = "Next:"


def drop_most_cells(lesson):
    del lesson.cells[9:]


def have_more_cells(lesson):
    more = copy.deepcopy(guards.code_cells(lesson)[:13])
    lesson.cells += [new_markdown_cell(MORE_HEADING), *more]


def leave_out_what_is_not_there(lesson):
    lesson.cells[0].source += "\n**Time:** 60 minutes. In an hour: leave out *Streams*.  "


def leave_out_what_others_need(lesson):
    lesson.cells[0].source += "\n**Time:** 60 minutes. In an hour: leave out *Rows* (10)."
    lesson.cells[3].source = "## Rows"
    lesson.cells[4].metadata["tags"] = ["leaves"]


def take_the_promise_away(lesson):
    lesson.cells[0].source = "# A lesson\n\n## A section"


def take_the_title_away(lesson):
    lesson.cells[0].source = "A lesson\n\n*You will see a rule kept.*"


SVG = base64.b64encode(b"<svg><text>0x7f36bfdbeb60</text></svg>").decode()
ERROR = new_output("error", ename="KeyError", evalue="'late'", traceback=[])
PNG = new_output("display_data", data={"image/png": "", "text/plain": "<Figure size 640x480>"})

SPOILT = {
    "counts stripped": (guards.executed_in_order, strip_counts),
    "a count skipped": (guards.executed_in_order, skip_a_count),
    "an error": (guards.no_errors, with_output(ERROR)),
    "a warning": (guards.no_stderr, with_output(printed("FutureWarning", "stderr"))),
    "an address": (guards.outputs_are_stable, with_output(result("<Line2D at 0x7f36bfdbeb60>"))),
    "a path": (guards.outputs_are_stable, with_output(printed("saved in /opt/course/x.db"))),
    "a Windows path": (guards.outputs_are_stable, with_output(printed(r"C:\Users\ada\course"))),
    "a store": (guards.outputs_are_stable, with_output(printed("sqlite:///mlflow.db"))),
    "a port": (guards.outputs_are_stable, with_output(printed("http://127.0.0.1:38079/ping"))),
    "a run id": (guards.outputs_are_stable, with_output(result("0123456789abcdef" * 2))),
    "a uuid": (
        guards.outputs_are_stable,
        with_output(result("123e4567-e89b-12d3-a456-426614174000", "text/html")),
    ),
    "a date of today": (guards.outputs_are_stable, with_output(printed("run of 2026-11-24"))),
    "an address in a drawing": (
        guards.outputs_are_stable,
        with_output(result(f'<img src="data:image/svg+xml;base64,{SVG}">', "text/html")),
    ),
    "interact": (guards.no_banned_calls, with_source("interact(run, weeks=8)")),
    "Output": (guards.no_banned_calls, with_source("with widgets.Output():\n    run()")),
    "clear_output": (guards.no_banned_calls, with_source("clear_output(wait=True)")),
    "pip": (guards.no_banned_calls, with_source("%pip install evidently")),
    "a shell": (guards.no_banned_calls, with_source("!mlflow server")),
    "a URL": (guards.no_banned_calls, with_source('pd.read_csv("https://example.org/x.csv")')),
    "timeit": (guards.no_banned_calls, with_source("%timeit score(week)")),
    "an exemption": (guards.no_banned_calls, with_source("# NBVAL_IGNORE_OUTPUT\nscore(week)")),
    "an exempting tag": (guards.no_banned_calls, tag_as_exempt),
    "a cell of 16 lines": (
        guards.cells_are_short,
        with_source("\n\n".join(["score(week)"] * 16)),
    ),
    "long cells": (guards.cells_are_short, make_many_cells_longer),
    "code after code": (guards.text_comes_first, drop_a_text),
    "few words": (guards.length_is_a_lesson, drop_most_texts),
    "few cells": (guards.length_is_a_lesson, drop_most_cells),
    "a long other half hour": (guards.length_is_a_lesson, have_more_cells),
    "an hour without a section": (guards.one_hour_is_marked, leave_out_what_is_not_there),
    "an hour without the base": (guards.one_hour_is_marked, leave_out_what_others_need),
    "a squeezed cell": (guards.code_is_not_squeezed, with_source("a, b = 1, 2")),
    "no promise": (guards.opens_with_title_and_promise, take_the_promise_away),
    "no title": (guards.opens_with_title_and_promise, take_the_title_away),
}


# What each fault must be called by the guard that finds it.
SAID = {
    "counts stripped": "has execution count None",
    "a count skipped": "code cell 14 has execution count 15",
    "an error": "has stored KeyError: 'late'",
    "a warning": "on stderr: FutureWarning",
    "an address": "a memory address: 0x7f36bfdbeb60",
    "a path": "a path: /opt/c",
    "a Windows path": "a path: C:\\U",
    "a store": "a file URL: sqlite:///",
    "a port": "a port: 127.0.0.1:38079",
    "a run id": "a random id: 0123456789abcdef",
    "a uuid": "a random id: 123e4567-e89b",
    "a date of today": "a time stamp: 2026-11-24",
    "an address in a drawing": "a memory address: 0x7f36bfdbeb60",
    "interact": "uses interact(",
    "Output": "uses with Output()",
    "clear_output": "uses clear_output",
    "pip": "uses a package installer",
    "a shell": "uses a shell command",
    "a URL": "uses an address on the internet",
    "timeit": "uses a timing magic",
    "an exemption": "uses an exemption from nbval",
    "an exempting tag": "is tagged nbval-ignore-output",
    "a cell of 16 lines": "code cell 1 has 16 lines; 15 is the limit",
    "long cells": "only 10 of 14 code cells have at most 8 lines",
    "code after code": "code cell 2 has no text before it",
    "few words": f"words; {guards.MIN_WORDS} to {guards.MAX_WORDS}",
    "few cells": f"code cells; {guards.MIN_CELLS} to {guards.MAX_CELLS}",
    "a long other half hour": "its other half hour has 6 words and 13 code cells",
    "an hour without a section": "leaves out 'Streams', which is no section",
    "an hour without the base": "leaves out 'Rows', on which later lessons build",
    "a squeezed cell": "code cell 1, line 1: two assignments in one",
    "no promise": "no sentence with the promise",
    "no title": "does not begin with a title",
}


@pytest.mark.parametrize("guard", guards.GUARDS, ids=lambda guard: guard.__name__)
def test_guard_when_the_rule_is_kept_then_says_nothing(lesson, guard):
    assert list(guard(lesson)) == []


@pytest.mark.parametrize("fault", SPOILT)
def test_guard_when_its_rule_is_broken_then_says_so(lesson, fault):
    guard, spoil = SPOILT[fault]
    spoil(lesson)
    told = list(guard(lesson))
    assert any(SAID[fault] in sentence for sentence in told), told


def test_guard_when_a_picture_has_no_number_then_says_so(lesson):
    first_code(lesson).outputs = [PNG]
    (told,) = guards.every_picture_has_a_number(lesson)
    assert told == "code cell 1 draws a picture and prints no figure beside it"
    first_code(lesson).outputs = [PNG, printed("mean accuracy 0.915")]
    assert not list(guards.every_picture_has_a_number(lesson))


def test_words_when_counted_then_code_tables_and_addresses_do_not_count():
    text = (
        "Two words.\n\n```python\nnot these\n```\n\n| nor | these |\n\n[a link](https://x.org/y z)"
    )
    assert guards.count_words(new_notebook(cells=[new_markdown_cell(text)])) == 4


def test_guards_when_listed_then_each_is_seen_red():
    seen = {guard for guard, _ in SPOILT.values()} | {guards.every_picture_has_a_number}
    assert set(guards.GUARDS) == seen


def test_other_half_hour_when_a_lesson_has_one_then_counts_apart_until_the_next_section(lesson):
    more = copy.deepcopy(guards.code_cells(lesson)[0])
    rest = copy.deepcopy(more)
    lesson.cells += [new_markdown_cell(MORE_HEADING), more, new_markdown_cell("## Next"), rest]
    before, apart = parted(lesson)
    assert guards.code_cells(apart) == [more]
    assert len(guards.code_cells(before)) == 15 and before.cells[-1] is rest


def test_hour_when_sections_are_left_out_then_their_code_is_and_nothing_else(lesson):
    lesson.cells[0].source += "\nIn an hour: leave out *Rows* and *Small ones*. It opens cold."
    lesson.cells[3].source = "As seen.\n\n## Rows"
    lesson.cells[5].source = "Still rows.\n\n### Of these, few"
    lesson.cells[7].source = "That was it.\n\n## Columns"
    lesson.cells[9].source = "### Small ones"
    lesson.cells[11].source = "### Large ones"
    lesson.cells[13].source = f"## {MORE}"
    lesson.cells[15].source = "## Next"
    for number, cell in enumerate(lesson.cells):
        cell.source += f" {number}" if cell.cell_type == "code" else ""
    assert left_out_in_an_hour(lesson) == ["Rows", "Small ones"]
    kept = [cell.source.split()[-1] for cell in guards.code_cells(one_hour(lesson))]
    assert kept[:5] == ["2", "8", "12", "16", "18"]


def test_statement_when_printed_as_true_then_is_known_by_its_words():
    told = "17 rows agree: True\nas before: True  newest is bad: False\n"
    cell = new_code_cell("x", outputs=[printed(told), result("{'passed': True}")])
    assert guards.statements(cell) == {"rows agree", "as before"}
