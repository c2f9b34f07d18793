"""What the gate found, in plain words: the verdict first, then each check.

The gate's own sentences give a bound as statisticians do: *at most +1.38* is the best that the days
leave open. Here the worst and the best case are called that, and a sentence of another form is
passed on as it is. `release.comparison` writes the sentences.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mlops_course.pipeline.events import REFUSED, REFUSED_BY
from mlops_course.pipeline.state import StageRecord

OVERALL = ("better overall", "not worse overall")
RULE = "the rule dep_delay > 15"
_LEAD = r"(?P<lead>[+-]\d+\.\d+)"
_ACCURACIES = re.compile(
    rf"Accuracy (?P<mine>\d+\.\d+)% against (?P<other>\d+\.\d+)% of (?P<rival>.+): {_LEAD} points\b"
)
_SLICE = re.compile(rf"For .+? {_LEAD} points against (?P<rival>.+), at ")
_BOUND = re.compile(
    r", at (?P<side>least|most) (?P<bound>[+-]\d+\.\d+) \(one-sided [\d.]+%, "
    r"by (?P<days>\d+) days(?: in spells)?\); (?P<asked>.+)\.$"
)


@dataclass(frozen=True)
class Compared:
    """What a sentence of the gate says of a candidate and its rival.

    Attributes
    ----------
    mine, other
        Both accuracies; None where the sentence is on a slice.
    lead, bound
        How far the candidate is ahead in points, and how far it is in the worst case (``side`` is
        ``least``) or in the best (``most``) that ``days`` days leave open; ``bound`` is None where
        there is none.
    asked
        What the gate asks of the bound.
    """

    rival: str
    lead: float
    mine: float | None = None
    other: float | None = None
    side: str = ""
    bound: float | None = None
    days: int = 0
    asked: str = ""


def understand(sentence: str) -> Compared | None:
    """Return what a sentence of the gate compares; None if it compares nothing.

    >>> said = "For origin JFK +0.58 points against version 7, at most +3.98 (one-sided 99.7%, "
    >>> found = understand(said + "by 7 days); a sure loss blocks.")
    >>> found.rival, found.lead, found.side, found.bound
    ('version 7', 0.58, 'most', 3.98)
    """
    whole = _ACCURACIES.match(sentence)
    found = whole or _SLICE.match(sentence)
    if found is None:
        return None
    lead = Compared(found["rival"], float(found["lead"]))
    if whole is not None:
        mine = float(whole["mine"]) / 100
        other = float(whole["other"]) / 100
        lead = replace(lead, mine=mine, other=other)
    sure = _BOUND.search(sentence)
    if sure is None:
        return lead
    bound = float(sure["bound"])
    return replace(
        lead, side=sure["side"], bound=bound, days=int(sure["days"]), asked=sure["asked"]
    )


def verdict(record: StageRecord) -> str:
    """Return whether the gate let a candidate pass, by how much it leads, and why not.

    Empty while the gate has not decided, or where its figures say nothing of a lead.
    """
    name = next((name for name in OVERALL if name in record.metrics), "")
    found = understand(str(record.metrics.get(name, "")))
    if record.state != "done" or found is None or found.mine is None or found.other is None:
        return ""
    said = (
        f"The candidate calls {found.mine:.1%} of the flights right, {_called(found.rival)} "
        f"{found.other:.1%}: {_points(found.lead)}."
    )
    if record.headline != REFUSED:
        return f"Passed. {said} {_case(found)}"
    return f"Refused. {said} {_case(found)} {_why(record)}"


def lines(record: StageRecord) -> Iterator[tuple[str, str]]:
    """Yield each check's name and what was seen, in plain words."""
    for name, seen in record.metrics.items():
        if name != REFUSED_BY:
            yield name, plainly(str(seen))


def plainly(sentence: str) -> str:
    """Return a sentence of the gate with its bound called the worst or the best case.

    >>> said = "For origin JFK +0.58 points against version 7, at most +3.98 (one-sided 99.7%, "
    >>> plainly(said + "by 7 days); a sure loss blocks.")
    '0.58 points better than version 7. At best 3.98 better: a loss is not sure.'
    """
    found = understand(sentence)
    if found is None:
        return sentence
    lead = f"{_points(found.lead)} than {_called(found.rival)}"
    return f"{lead[0].upper()}{lead[1:]}. {_case(found)}".strip()


def _case(found: Compared) -> str:
    """Return the worst or the best case, and what follows from it."""
    if found.bound is None:
        return ""
    case = f"{abs(found.bound):.2f} {_side(found.bound)}"
    if found.side == "most":
        sure = "a loss is not sure" if found.bound >= 0 else "the loss is sure"
        return f"At best {case}: {sure}."
    return f"At worst, as far as {found.days} days can tell, it is {case}; {found.asked}."


def _why(record: StageRecord) -> str:
    failed = str(record.metrics.get(REFUSED_BY, ""))
    return f"What did not hold: {failed}." if failed else ""


def _points(lead: float) -> str:
    return f"{abs(lead):.2f} points {_side(lead)}"


def _side(points: float) -> str:
    return "worse" if points < 0 else "better"


def _called(rival: str) -> str:
    return "the rule" if rival == RULE else rival
