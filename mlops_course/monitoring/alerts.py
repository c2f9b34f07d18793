"""What an alert is, and the names of the rules that raise one.

Words alone: whoever only reads alerts loads nothing that measures them.
"""

from dataclasses import dataclass

ACCURACY_RULE = "accuracy below threshold"
UNANSWERED_RULE = "flights unanswered"


@dataclass(frozen=True)
class Alert:
    """An alert rule that fired: its name, the value seen, the threshold it crossed, a sentence."""

    rule: str
    value: float
    threshold: float
    message: str
