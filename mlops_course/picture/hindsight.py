"""What was chosen in a run and what came of it, beside the other choices, really played."""

from collections.abc import Sequence
from datetime import date
from statistics import fmean

from markupsafe import Markup

from mlops_course.deciding.choices import CHOICES, LOOK, REPAIR, REPAIR_DAYS, RETRAIN
from mlops_course.drawing.markup import element, join
from mlops_course.pipeline.asking import Aftermath, Decided
from mlops_course.pipeline.events import Rejected
from mlops_course.pipeline.production import LABEL_WAIT
from mlops_course.pipeline.scenarios import SCENARIOS
from mlops_course.pipeline.state import RunState, choices_of, has_accuracy, wrong_calls
from mlops_course.telling.wording import counted, day, percent, when

# Drawing the days of training and of a week anew moves a week by about so much.
SMALL_SHARE = 0.005
WEEK_DAYS = 7
SECONDS_TO_START = 3


def decisive(chosen: Sequence[Decided]) -> int:
    """Return the place of the first choice that was more than to look closer, else 0."""
    acted = [place for place, entry in enumerate(chosen) if entry.choice != LOOK]
    return acted[0] if acted else 0


def aftermath(state: RunState, monday: str) -> Aftermath:
    """Return what came after the question about a week, given by its Monday."""
    after = [week for week in state.weeks if week.week > monday]
    known = [week.accuracy for week in after if has_accuracy(week)]
    low = [week for week in state.weeks if week.week >= monday and week.alert]
    day_of_question = date.fromisoformat(monday) + LABEL_WAIT
    days = None
    if low and low[-1] != state.weeks[-1]:
        waited = (date.fromisoformat(low[-1].week) - day_of_question).days + WEEK_DAYS
        days = max(waited, 0)
    refused = [e.reason for e in state.log if isinstance(e, Rejected) and e.week >= monday]
    return Aftermath(
        len(after),
        sum(week.rows for week in after),
        fmean(known) if known else float("nan"),
        wrong=sum(map(wrong_calls, after)),
        unanswered=sum(week.unanswered for week in after),
        days=days,
        refused=refused[0] if refused else "",
    )


def hindsight(state: RunState) -> Markup:
    """Return the table of choices after a run that asked; empty where nothing was chosen."""
    chosen = choices_of(state)
    if state.status != "finished" or not chosen:
        return Markup("")
    question = chosen[decisive(chosen)]
    mine = aftermath(state, question.week)
    path = ", then ".join(
        f"{CHOICES[entry.choice].title.lower()} ({when(state, entry.week).split(',')[0]})"
        for entry in chosen
    )
    head = element("h4", "What you chose, and what came of it")
    told = element("p", f"You chose: {path}.")
    if not mine.weeks:
        return join(head, told, element("p", "The run ended with that week: nothing came after."))
    return join(
        head,
        told,
        _table(state, question, mine),
        element("p", _best(state, question, mine)) if state.others else "",
        _offer(state),
    )


def _table(state: RunState, question: Decided, mine: Aftermath) -> Markup:
    others = {other.choice: other.came for other in state.others}
    rows = [_row(question.choice, mine, " (you)")]
    rows += [_row(name, others[name]) for name in CHOICES if name in others]
    names = ["Choice", "Mean accuracy", "Wrong calls", "Unanswered", "Days until no alert"]
    heads = [element("th", name, scope="col") for name in names]
    caption = (
        f"The {counted(mine.weeks, 'week')} after the question about the week of "
        f"{day(question.week)}, {mine.flights:,} flights. Later questions in the other runs were "
        f"answered with {CHOICES[LOOK].title.lower()}."
    )
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_="mls-hindsight",
    )


def _row(choice: str, came: Aftermath, whose: str = "") -> Markup:
    refused = element("span", came.refused, class_="mls-quiet") if came.refused else ""
    return element(
        "tr",
        element("th", f"{CHOICES[choice].title}{whose}", refused, scope="row"),
        element("td", percent(came.accuracy)),
        element("td", f"{came.wrong:,}"),
        element("td", f"{came.unanswered:,}"),
        element("td", "not in this run" if came.days is None else str(came.days)),
    )


def _lost(came: Aftermath) -> int:
    return came.wrong + came.unanswered


def _best(state: RunState, question: Decided, mine: Aftermath) -> str:
    """Return which choice lost the fewest flights, and by how much, against the one taken."""
    others = {other.choice: other.came for other in state.others}
    least = min(_lost(came) for came in [mine, *others.values()])
    rivals = [name for name, came in others.items() if _lost(came) == least]
    is_mine = _lost(mine) == least
    names = [question.choice] * is_mine + rivals
    titles = " and ".join(CHOICES[name].title for name in names)
    if is_mine:
        worse = [_lost(came) for came in others.values() if _lost(came) > least]
        gap = min(worse) - least if worse else 0
        against = "the next"
    else:
        gap = _lost(mine) - least
        against = "your choice"
    if not gap:
        return "All choices played came to the same."
    share = gap / mine.flights
    flights = counted(gap, "flight")
    told = (
        f"{titles} did best: {flights} fewer wrong or unanswered than {against}, "
        f"{100 * share:.1f} points of all flights. These are {counted(mine.weeks, 'week')} of one "
        f"seed: more weeks may say otherwise."
    )
    small = " That is less than the luck of the days: another seed may turn it round."
    return told + (small if share < SMALL_SHARE else "") + _why_retraining(names)


def _why_retraining(best: Sequence[str]) -> str:
    """Return why a retraining may do best where the feed is at fault; empty where it did not."""
    if RETRAIN not in best or REPAIR in best:
        return ""
    return (
        f" A new model may be there before a feed is repaired, which takes {REPAIR_DAYS} days. "
        f"If the feed is at fault, it stays so for all who read it, and the day it is repaired "
        f"the new model is wrong: the scenario {SCENARIOS['repaired'].title!r} shows that."
    )


def _offer(state: RunState) -> Markup:
    """Return the button that plays the choices that were not, with the time it takes."""
    left = len(CHOICES) - 1 - len(state.others)
    if not left or state.seconds is None:
        return Markup("")
    about = round(left * state.seconds + SECONDS_TO_START)
    words = f"Play the other choices ({counted(left, 'run')}, about {about} s)"
    return element("p", element("button", words, type="button", data_others=""))
