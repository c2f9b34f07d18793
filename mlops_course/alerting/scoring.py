"""How good alert rules are: precision, recall and time to detection over labelled weeks.

What counts is the episode, not the window: an incident of four weeks is one thing to be found, and
a false alarm that lasts three weeks wakes somebody once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Outcome:
    """One stretch of production whose truth is known, as a rule saw it.

    Attributes
    ----------
    struck
        For each window, in order, whether something was wrong that the rule is for.
    firing
        For each window whether the rule fired.
    """

    struck: Sequence[bool]
    firing: Sequence[bool]


@dataclass(frozen=True)
class Score:
    """What a rule is worth, with the numbers behind each share.

    Attributes
    ----------
    incidents, found
        Episodes in which something was wrong, and those in which the rule fired.
    alarms, right
        Episodes in which the rule fired, and those that touched an incident.
    calm_windows
        Windows in which nothing was wrong.
    windows_to_find
        The mean number of windows from an incident's first to the first alarm, 1 for at once; NaN
        if none was found.
    """

    incidents: int
    found: int
    alarms: int
    right: int
    calm_windows: int
    windows_to_find: float

    @property
    def recall(self) -> float:
        """The share of incidents found; NaN of none."""
        return self.found / self.incidents if self.incidents else nan

    @property
    def precision(self) -> float:
        """The share of alarms that were right; NaN of none."""
        return self.right / self.alarms if self.alarms else nan

    @property
    def false_alarms(self) -> int:
        """Episodes in which the rule fired and nothing was wrong."""
        return self.alarms - self.right


def score(outcomes: Sequence[Outcome]) -> Score:
    """Score a rule over stretches of production, episodes counted and not windows.

    >>> calm = Outcome([False] * 4, [False, True, True, False])
    >>> bad = Outcome([False, True, True, True], [False, False, True, True])
    >>> found = score([calm, bad])
    >>> found.recall, found.precision, found.windows_to_find
    (1.0, 0.5, 2.0)
    """
    incidents = 0
    alarms = 0
    right = 0
    calm = 0
    waits = []
    for outcome in outcomes:
        fired = [place for place, fires in enumerate(outcome.firing) if fires]
        for begin, end in episodes(outcome.struck):
            incidents += 1
            inside = [place for place in fired if begin <= place < end]
            waits += [inside[0] - begin + 1] if inside else []
        for begin, end in episodes(outcome.firing):
            alarms += 1
            right += any(outcome.struck[begin:end])
        calm += sum(not struck for struck in outcome.struck)
    mean = sum(waits) / len(waits) if waits else nan
    return Score(incidents, len(waits), alarms, right, calm, mean)


def episodes(signs: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where each run of true signs begins, and where it is over.

    >>> episodes([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    found = []
    begin = None
    for place, sign in enumerate([*signs, False]):
        if sign and begin is None:
            begin = place
        elif not sign and begin is not None:
            found.append((begin, place))
            begin = None
    return found
