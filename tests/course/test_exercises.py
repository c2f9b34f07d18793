import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest
from solving import solved

from mlops_course.core.errors import ParameterError
from mlops_course.core.workspace import open_workspace
from mlops_course.course import exercises
from mlops_course.course.exercises import ask, check, find, hint, solution
from mlops_course.course.lessons import LEAVES, start

TEXTS = sorted(Path(exercises.__file__).with_name("texts").glob("[0-9][0-9].toml"))
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = [path.stem for path in TEXTS]
EXERCISES = [exercise for lesson in LESSONS for exercise in exercises.exercises(lesson).values()]
WRONG = [
    pytest.param(exercise, case, id=f"{exercise.key}-{number}")
    for exercise in EXERCISES
    for number, case in enumerate(exercise.wrong, 1)
]

NONSENSE = {repr(value): value for value in (None, 0, "", "x", [], {})}
NONSENSE |= {"an object": object(), "a function that fails": lambda *_: 1 / 0}


def name_of(exercise):
    return exercise.key


def cells(lesson):
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    return nbformat.read(path, as_version=4).cells


@pytest.fixture(scope="session")
def namespaces(tmp_path_factory, template_cache):
    """What each notebook has defined after its ``leaves`` cells, by lesson.

    Each lesson has a home of its own, which begins as a copy of the former's after these cells.
    """
    place, made = tmp_path_factory.mktemp("lessons"), {}

    def of(lesson):
        if lesson not in made:
            home, former = place / lesson, LESSONS[LESSONS.index(lesson) - 1]
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLOPS_COURSE_HOME", str(home))
                if lesson == LESSONS[0]:
                    shutil.copytree(template_cache, open_workspace(home).cache, dirs_exist_ok=True)
                else:
                    of(former)
                    shutil.copytree(place / f"after {former}", home)
                    start(former).close()
                names = {"lesson": start(lesson)}
                for cell in cells(lesson):
                    if cell.cell_type == "code" and LEAVES in cell.metadata.get("tags", []):
                        exec(cell.source, names)
            shutil.copytree(home, place / f"after {lesson}")
            made[lesson] = names
        return dict(made[lesson])

    return of


def answer_of(code, names):
    exec(compile(code, "<answer>", "exec"), names)
    return names["answer"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_when_it_has_exercises_then_three_or_four_of_more_than_one_kind(lesson):
    found = exercises.exercises(lesson).values()
    kinds = [exercise.kind for exercise in found]
    assert len(kinds) in (3, 4) and {"build", "diagnose"} <= set(kinds)
    assert set(kinds) <= {"build", "diagnose", "predict"}
    for exercise in found:
        assert len(exercise.hints) == 2 and len(exercise.wrong) >= 2, exercise.key


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_solution_when_checked_then_right_and_says_what_was_verified(exercise, namespaces):
    names = namespaces(exercise.key[:2])
    feedback = check(exercise.key, answer_of(exercise.solution, names))
    assert feedback.status == "right", feedback
    assert len(feedback.text) > 20


@pytest.mark.parametrize(("exercise", "case"), WRONG)
def test_wrong_answer_when_checked_then_earns_its_own_message(exercise, case, namespaces):
    names = namespaces(exercise.key[:2])
    feedback = check(exercise.key, answer_of(case["answer"], names))
    assert feedback.status == "wrong" and case["says"] in feedback.text, feedback


def test_odd_run_of_02_4_when_its_parameter_is_named_as_a_column_of_runs_then_is_right(namespaces):
    name, parameter, trees = answer_of(find("02.4").solution, namespaces("02"))
    assert check("02.4", (name, f"params.{parameter}", trees)).status == "right"


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
def test_exercise_when_in_the_notebook_then_has_the_same_words_and_an_untouched_stub(exercise):
    found = cells(exercise.key[:2])
    prose = " ".join(c.source for c in found if c.cell_type == "markdown").split()
    assert " ".join(exercise.task.split()) in " ".join(prose)
    stubs = [
        c.source for c in found if c.cell_type == "code" and f'check("{exercise.key}"' in c.source
    ]
    assert len(stubs) == 1 and exercise.stub.strip() in stubs[0]


@pytest.mark.parametrize("lesson", LESSONS)
def test_solved_copy_when_made_then_every_stub_gave_way_to_its_solution(lesson):
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    sources = [cell.source for cell in solved(nbformat.read(path, as_version=4)).cells]
    assert not any("answer = ..." in source for source in sources)
    for exercise in exercises.exercises(lesson).values():
        assert any(exercise.solution.strip() in source for source in sources), exercise.key


@pytest.mark.parametrize("exercise", EXERCISES, ids=name_of)
@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE)
def test_check_when_given_nonsense_then_answers_with_a_sentence(exercise, value):
    feedback = check(exercise.key, value)
    assert feedback.status == "wrong" and len(feedback.text.split()) > 4


@pytest.mark.parametrize("lesson", LESSONS)
def test_questions_when_answered_then_one_choice_is_right_and_all_say_why(lesson):
    assert exercises.questions(lesson)
    for question in exercises.questions(lesson).values():
        said = [question.choose(n) for n in range(1, len(question.choices) + 1)]
        assert [feedback.status for feedback in said].count("right") == 1
        assert len({feedback.text for feedback in said}) == len(said)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A lesson of one exercise, whose check doubles what it is given."""
    text = """
[[exercise]]
key = "99.1"
kind = "build"
task = "Write a function that doubles."
stub = "answer = ..."
hints = ["Think.", "Use +."]
solution = "answer = lambda x: x + x"
check = '''
def check(answer):
    if answer(3) == 9:
        raise Wrong("That squares.")
    if answer(3) != 6:
        raise Wrong("Twice three is six.")
    return "It doubled 3."
'''
wrong = [{answer = "answer = lambda x: x * x", says = "squares"}]
[[question]]
key = "99.a"
text = "Is 2 < 3?"
right = 1
choices = [{text = "yes", feedback = "It is."}, {text = "<b>no</b>", feedback = "Count again."}]
"""
    tomllib.loads(text)
    (tmp_path / "99.toml").write_text(text)
    monkeypatch.setattr(exercises, "TEXTS", tmp_path)
    return tmp_path


def test_check_when_not_attempted_then_says_so_calmly(tiny):
    assert repr(check("99.1", ...)).startswith("Not answered yet.")


def test_check_when_the_answer_raises_then_says_what_it_raised(tiny):
    feedback = check("99.1", lambda x: x["a"])
    assert feedback.status == "wrong" and "raised TypeError" in feedback.text
    assert "raised" in check("99.1", 7).text


def test_check_when_right_or_wrong_then_says_what_was_verified_or_misunderstood(tiny):
    assert repr(check("99.1", lambda x: 2 * x)) == "Right. It doubled 3."
    assert repr(check("99.1", lambda x: x**2)) == "Not yet. That squares."


def test_hints_when_asked_in_turn_then_say_more_and_a_third_is_not_there(tiny, capsys):
    assert (repr(hint("99.1")), hint("99.1", 2).text) == ("Hint: Think.", "Use +.")
    with pytest.raises(ParameterError, match="no hint 3"):
        hint("99.1", 3)
    solution("99.1")
    assert capsys.readouterr().out == "answer = lambda x: x + x\n"


@pytest.mark.parametrize("lesson", LESSONS)
def test_questions_when_written_then_the_notebook_asks_every_one(lesson):
    sources = "\n".join(cell.source for cell in cells(lesson) if cell.cell_type == "code")
    for key in exercises.questions(lesson):
        assert f'ask("{key}")' in sources, key


def test_key_when_unknown_then_lists_those_there_are(tiny):
    with pytest.raises(ParameterError, match=r"This lesson has 99\.1"):
        find("99.7")
    with pytest.raises(ParameterError, match="This lesson has none"):
        find("98.1")


def test_question_when_shown_then_has_buttons_that_answer_and_a_still_form(tiny):
    question = ask("99.a")
    bundle = question._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "Is 2 < 3?\n1. yes\n2. <b>no</b>"
    assert "&lt;b&gt;no" in bundle["text/html"]
    box = exercises._buttons(question)
    _, yes, no, said = box.children
    no.click()
    assert "Not yet. Count again." in said.value
    yes.click()
    assert "Right. It is." in said.value


def test_check_when_given_a_question_then_says_how_it_is_answered():
    with pytest.raises(ParameterError, match=r"ask\('07.a'\).choose"):
        check("07.a", 2)


def test_check_when_an_answer_calls_pytest_fail_then_answers_with_a_sentence():
    feedback = check("07.1", (lambda windows: ["calm"] * len(windows), lambda rule: None))
    assert feedback.status == "wrong"

    def fails(windows):
        pytest.fail("no such day")

    assert "no such day" in check("07.1", (fails, lambda rule: None)).text
