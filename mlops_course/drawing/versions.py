"""Who serves, who waits and who went before: the generations of a run, and what each gets to see.

All of it follows from the state. The loop has no canary: one version answers every flight, and a
candidate answers none before the gate has passed it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from mlops_course.drawing.markup import element, join
from mlops_course.pipeline.events import Promoted, Rejected, Retrained, RolledBack
from mlops_course.pipeline.state import RunState, record_of
from mlops_course.telling import wording
from mlops_course.telling.wording import week_list

# How a generation can fare, in words.
CHAMPION = "champion"
FORMER = "former"
WAITING = "challenger"
REFUSED = "refused"
FAILED = "not deployed"
_NEVER = "9999-12-31"


@dataclass(frozen=True)
class Generation:
    """A model that was trained in this run, or serves again.

    Attributes
    ----------
    name
        ``v2``; ``candidate`` for one that has not become a version.
    fate
        One of `CHAMPION`, `FORMER`, `WAITING`, `REFUSED` and `FAILED`.
    trained_on
        The weeks that it learned from, in words.
    since
        The Monday after whose week it was promoted, refused, or trained.
    first, last
        The first and the latest week that it served; 0 if it served none.
    again
        Whether it had served before, and came back by a rollback.
    """

    name: str
    fate: str
    trained_on: str
    since: str
    first: int = 0
    last: int = 0
    again: bool = False

    @property
    def served(self) -> str:
        """When it served: ``weeks 1 to 6``; empty if it did not."""
        if not self.last:
            return ""
        if self.first == self.last:
            return f"week {self.first}"
        return f"weeks {self.first} to {self.last}"


def generations(state: RunState) -> tuple[Generation, ...]:
    """Return what each turn of the loop has left, in order."""
    trained = {one.run_id: week_list(one.weeks) for one in state.log if isinstance(one, Retrained)}
    found: list[Generation] = []
    waiting: Retrained | None = None
    for entry in state.log:
        match entry:
            case Retrained():
                waiting = entry
            case Rejected() if waiting is not None:
                words = week_list(waiting.weeks)
                found.append(Generation("candidate", REFUSED, words, entry.week))
                waiting = None
            case Promoted() | RolledBack():
                words = trained.get(entry.run_id, _winter(state))
                if isinstance(entry, Promoted) and entry.by_hand:
                    words = "what a colleague chose, and promoted by hand"
                again = isinstance(entry, RolledBack)
                name = f"v{entry.to_version}"
                found.append(Generation(name, FORMER, words, entry.week, again=again))
                waiting = None
    if waiting is not None:
        found.append(Generation("candidate", WAITING, week_list(waiting.weeks), waiting.week))
    crowned = [one for one in found if one.fate == FORMER]
    ends = iter([*(one.since for one in crowned[1:]), _NEVER])
    told = [_with_weeks(one, next(ends), state) if one.fate == FORMER else one for one in found]
    return tuple(told)


def _winter(state: RunState) -> str:
    record = next((one for one in state.records if one.stage == "data"), None)
    return f"winter, {record.headline}" if record and record.headline else "winter"


def _with_weeks(one: Generation, end: str, state: RunState) -> Generation:
    """Say which weeks a version served: those from its promotion to the next one, at ``end``."""
    numbers = [week.number for week in state.weeks if one.since < week.week <= end]
    if numbers:
        one = replace(one, first=numbers[0], last=numbers[-1])
    if end != _NEVER:
        return one
    deployed = record_of(state, "deploy")
    lost = deployed is not None and deployed.state == "failed"
    return replace(one, fate=FAILED if lost else CHAMPION)


# ---- how they look


def render(state: RunState) -> Markup:
    """Return champion, challenger and the version to go back to, and all generations below."""
    found = generations(state)
    if not found:
        return element("ul", *_roles(state, found), class_="mls-roles")
    return join(
        element("ul", *_roles(state, found), class_="mls-roles"),
        element(
            "div",
            element("span", "Generations:", class_="mls-quiet"),
            element("ol", *(_mark(state, one) for one in found), class_="mls-generations"),
            class_="mls-turns",
        ),
    )


def _roles(state: RunState, found: tuple[Generation, ...]) -> Iterator[Markup]:
    champion = next((one for one in found if one.fate in (CHAMPION, FAILED)), None)
    yield _champion(state, champion)
    waiting = next((one for one in found if one.fate == WAITING), None)
    yield _challenger(state, waiting)
    former = [one for one in found if one.fate == FORMER]
    others = [one for one in former if champion is None or one.name != champion.name]
    yield _former(others[-1] if others else None)


def _champion(state: RunState, champion: Generation | None) -> Markup:
    if champion is None:
        return _role("Champion", "none", "", "The first model has yet to pass the gate.")
    if champion.fate == FAILED:
        words = "Promoted, but it could not be deployed."
        return _role("Champion", champion.name, "gets 0% of flights", words)
    first = champion.first or (state.weeks[-1].number + 1 if state.weeks else 1)
    again = " again" if champion.again else ""
    words = f"Serves{again} since week {first}; trained on {champion.trained_on}."
    latest = state.weeks[-1] if state.weeks else None
    if latest is not None and latest.unanswered:
        words += f" Week {latest.number}: {wording.unanswered(latest)}."
    return _role("Champion", champion.name, "gets 100% of flights", words)


def _challenger(state: RunState, waiting: Generation | None) -> Markup:
    if waiting is None:
        return _role("Challenger", "none", "", "No candidate waits for the gate.")
    following = state.weeks[-1].number + 1 if state.weeks else 1
    planned = state.started.weeks if state.started else following
    until = f"the labels of week {following}" if following <= planned else "a week that never came"
    words = f"Trained on {waiting.trained_on}; waits for {until} to be judged on."
    return _role("Challenger", waiting.name, "gets 0% of flights", words)


def _former(former: Generation | None) -> Markup:
    if former is None:
        return _role("Former", "none", "", "Nothing to roll back to yet.")
    served = f"Served {former.served}." if former.served else "Served no week."
    words = f"{served} It is kept, and can be rolled back to."
    return _role("Former", former.name, "gets 0% of flights", words)


def _role(role: str, name: str, share: str, words: str) -> Markup:
    return element(
        "li",
        element("span", role, class_="mls-role"),
        element("b", name),
        element("span", share, class_="mls-share"),
        element("p", words),
        data_key=role,
        data_role=role.lower(),
        data_name=name,
    )


def _mark(state: RunState, one: Generation) -> Markup:
    words = {
        CHAMPION: f"{one.served}, serving" if one.served else "serving",
        FORMER: one.served or "no week",
        WAITING: "waits",
        REFUSED: f"refused, {wording.when(state, one.since)}",
        FAILED: "not deployed",
    }[one.fate]
    name = f"{one.name} again" if one.again else one.name
    return element(
        "li",
        element("i", aria_hidden="true"),
        element("span", element("b", name), " ", element("span", words)),
        title=f"{name}: trained on {one.trained_on}",
        data_fate=one.fate,
    )
