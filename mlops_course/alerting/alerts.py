"""What an alert is, and the names of the rules that every run watches.

Words alone: whoever only reads alerts loads nothing that measures them.
"""

from dataclasses import dataclass

ACCURACY_RULE = "accuracy below threshold"
UNANSWERED_RULE = "flights unanswered"


@dataclass(frozen=True)
class Alert:
    """An alert rule that fires on a window.

    Attributes
    ----------
    rule, window
        Which rule fires, and on which window, by their names.
    since
        The window with which the episode began.
    value, limit
        What was seen, and the limit that it crossed.
    message
        Both in a sentence.
    severity, owner, runbook
        Who is told how urgently, and what they do first.
    """

    rule: str
    window: str
    since: str
    value: float
    limit: float
    message: str
    severity: str
    owner: str
    runbook: str
