"""What the page asks: what to do at an alert, and what a mystery is.

The words, their order and the buttons are the same in every world; they give nothing away.
"""

from markupsafe import Markup

from mlops_course.deciding.choices import CHOICES, ROLL_BACK
from mlops_course.drawing.markup import element, join
from mlops_course.pipeline.asking import Answered, Repaired, RepairOrdered
from mlops_course.pipeline.events import MYSTERY
from mlops_course.pipeline.scenarios import DIAGNOSES
from mlops_course.pipeline.state import RunState, alerts_of, question_of, revealed
from mlops_course.telling.wording import day


def question(state: RunState) -> Markup:
    """Return the question that waits for an answer, with a button for each choice."""
    asked = question_of(state)
    if asked is None:
        return Markup("")
    buttons = [element("li", _button(state, name)) for name in CHOICES]
    told = [element("p", alert.message) for alert in alerts_of(state, asked.week)]
    return join(
        element("h4", f"Week {asked.number}, {day(asked.week)}: what would you do?"),
        *told,
        element("p", _under_way(state)),
        element("p", "The run waits for you. Tiles, chart, inputs and log below are the evidence."),
        element("ul", *buttons),
    )


def _under_way(state: RunState) -> str:
    """Return what has been asked for and not yet answered; empty if nothing has."""
    orders = [
        entry for entry in state.log if isinstance(entry, RepairOrdered | Repaired | Answered)
    ]
    waits = orders and isinstance(orders[-1], RepairOrdered)
    return f"You have asked already: {orders[-1].message}" if waits else ""


def _button(state: RunState, name: str) -> Markup:
    """Return the button of a choice; one that cannot be carried out says so, and does nothing."""
    choice = CHOICES[name]
    nothing = name == ROLL_BACK and len({week.model_version for week in state.weeks}) < 2
    return element(
        "button",
        element("b", choice.title),
        element("span", "No version served before this one." if nothing else choice.cost),
        type="button",
        data_choice=name,
        aria_disabled="true" if nothing else None,
    )


def mystery(state: RunState) -> Markup:
    """Return the form for a diagnosis while a mystery is hidden, and then what it was."""
    if state.started is None or state.started.scenario != MYSTERY or not state.weeks:
        return Markup("")
    truth = revealed(state)
    if truth is not None:
        return join(element("h4", "The mystery"), element("p", truth.message))
    options = [element("option", title, value=name) for name, title in DIAGNOSES.items()]
    first = element("option", "choose …", value="")
    chosen = element("label", "What is it? ", element("select", first, *options, name="diagnosis"))
    named = element("button", "That is my diagnosis", type="button", data_diagnose="named")
    truth_button = element("button", "Tell me the truth", type="button", data_diagnose="")
    return join(
        element("h4", "The mystery"),
        element(
            "p",
            "One of these, or nothing, struck in some week. Once you have named it, the truth "
            "is told; after the run you may also just ask.",
        ),
        element("p", chosen, named, truth_button if state.status == "finished" else ""),
    )
