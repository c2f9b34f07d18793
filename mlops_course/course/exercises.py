"""Exercises and questions: checks, hints and solutions, all from one keyed source a lesson.

The texts live in ``texts/NN.toml``. A check is a few lines of Python in there; it gets the
learner's answer and either raises `Wrong` with what the answer shows was misunderstood, or
returns what exactly was verified.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, TypeVar

from mlops_course.core.errors import CourseError, ParameterError

TEXTS = files("mlops_course.course").joinpath("texts")
MARKS = {"open": "Not answered yet.", "wrong": "Not yet.", "right": "Right.", "hint": "Hint:"}


T = TypeVar("T")


class Wrong(Exception):
    """Raised by a check: the answer is wrong, and this is the misconception it shows."""


@dataclass(frozen=True, repr=False)
class Feedback:
    """What a check has to say; ``status`` is ``open``, ``wrong``, ``right`` or ``hint``."""

    status: str
    text: str

    def __repr__(self) -> str:
        return f"{MARKS[self.status]} {self.text}"


@dataclass(frozen=True)
class Exercise:
    """One exercise, as its lesson's file has it.

    Attributes
    ----------
    key
        Lesson and number, such as ``01.2``.
    kind
        ``predict``, ``build`` or ``diagnose``.
    task, stub, solution
        What is asked; the cell that the learner finds; the reference answer.
    hints
        Two, the second saying more.
    check
        Python that defines ``check(answer)``.
    wrong
        Answers that must fail, each with a part of the message it must earn.
    """

    key: str
    kind: str
    task: str
    stub: str
    solution: str
    hints: tuple[str, ...]
    check: str
    wrong: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, repr=False)
class Question:
    """A question with choices; each wrong choice has its own feedback.

    Shown as buttons where a kernel runs, and as plain text where none does. `choose` answers it
    without a browser.
    """

    key: str
    text: str
    choices: tuple[Mapping[str, str], ...]
    right: int

    def choose(self, number: int) -> Feedback:
        """Answer with a choice, counted from 1, and say why it is right or wrong."""
        if number not in range(1, len(self.choices) + 1):
            raise ParameterError(
                f"There is no choice {number!r}.",
                f"The question has choices 1 to {len(self.choices)}.",
                "Choose one of them.",
            )
        status = "right" if number == self.right else "wrong"
        return Feedback(status, self.choices[number - 1]["feedback"])

    def __repr__(self) -> str:
        lines = [f"{i}. {choice['text']}" for i, choice in enumerate(self.choices, 1)]
        return "\n".join([self.text, *lines])

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        items = "".join(f"<li>{escape(choice['text'])}</li>" for choice in self.choices)
        still = f"<p>{escape(self.text)}</p><ol>{items}</ol>"
        live = dict(_buttons(self)._repr_mimebundle_() or {})
        return live | {"text/plain": repr(self), "text/html": still}


@cache
def exercises(lesson: str) -> Mapping[str, Exercise]:
    """Return a lesson's exercises by key."""
    found = [
        Exercise(**{**entry, "hints": tuple(entry["hints"]), "wrong": tuple(entry["wrong"])})
        for entry in _read(lesson).get("exercise", [])
    ]
    return {exercise.key: exercise for exercise in found}


@cache
def questions(lesson: str) -> Mapping[str, Question]:
    """Return a lesson's questions by key."""
    found = [
        Question(**{**entry, "choices": tuple(entry["choices"])})
        for entry in _read(lesson).get("question", [])
    ]
    return {question.key: question for question in found}


def ask(key: str) -> Question:
    """Return a question by its key, to be shown."""
    return _look_up(questions, key)


def check(key: str, answer: Any = ...) -> Feedback:
    """Check an answer, and say what was verified or what it shows was misunderstood."""
    exercise = find(key)
    if answer is ...:
        return Feedback("open", f"Replace the dots by your answer. Stuck? hint({key!r})")
    namespace: dict[str, Any] = {"Wrong": Wrong, "__name__": f"check {key}"}
    exec(compile(exercise.check, f"<check {key}>", "exec"), namespace)
    try:
        return Feedback("right", namespace["check"](answer))
    except Wrong as wrong:
        return Feedback("wrong", str(wrong))
    except CourseError as error:
        return Feedback("wrong", str(error))
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # pytest.fail raises no Exception
        return Feedback(
            "wrong",
            f"Your answer raised {type(error).__name__} when it was tried: {error}. "
            "Look at what it is given and what it returns.",
        )


def hint(key: str, number: int = 1) -> Feedback:
    """Return one of an exercise's two hints."""
    hints = find(key).hints
    if number not in range(1, len(hints) + 1):
        raise ParameterError(
            f"There is no hint {number} for {key}.",
            f"There are {len(hints)}.",
            f"Ask for hint({key!r}, {len(hints)}), or solution({key!r}).",
        )
    return Feedback("hint", hints[number - 1])


def solution(key: str) -> None:
    """Print an exercise's reference solution."""
    print(find(key).solution.strip())


def find(key: str) -> Exercise:
    """Return an exercise by its key.

    Raises
    ------
    ParameterError
        If there is none; the message lists the lesson's keys. A question is no exercise.
    """
    if str(key) in questions(str(key).partition(".")[0]):
        raise ParameterError(
            f"{key} is a question with choices, and no exercise.",
            "It is answered by its buttons, or by the number of a choice.",
            f"Run ask({key!r}), or ask({key!r}).choose(1).",
        )
    return _look_up(exercises, key)


def _look_up(source: Callable[[str], Mapping[str, T]], key: str) -> T:
    known = source(str(key).partition(".")[0])
    if str(key) not in known:
        raise ParameterError(
            f"There is nothing under the key {key!r}.",
            f"This lesson has {', '.join(known) or 'none'}.",
            "Check the key: the lesson's two digits come first, as in '01.1'.",
        )
    return known[str(key)]


def _buttons(question: Question) -> Any:
    """Return the question as widgets: a button a choice, and the feedback below."""
    import ipywidgets

    said = ipywidgets.HTML()
    buttons = [
        ipywidgets.Button(
            description=f"{number}. {choice['text']}",
            layout=ipywidgets.Layout(width="auto", height="auto"),
        )
        for number, choice in enumerate(question.choices, 1)
    ]
    for number, button in enumerate(buttons, 1):
        button.on_click(lambda _, n=number: _say(said, question.choose(n)))
    return ipywidgets.VBox([ipywidgets.HTML(f"<p>{escape(question.text)}</p>"), *buttons, said])


def _say(place: Any, feedback: Feedback) -> None:
    place.value = f'<p role="status">{escape(repr(feedback))}</p>'


def _read(lesson: str) -> dict[str, Any]:
    source = TEXTS.joinpath(f"{lesson}.toml")
    return tomllib.loads(source.read_text(encoding="utf-8")) if source.is_file() else {}
