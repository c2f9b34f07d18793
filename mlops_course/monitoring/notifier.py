"""What the team is told when an alert rule fires."""

from collections.abc import Sequence

from mlops_course.monitoring.alerts import UNANSWERED_RULE, Alert

CHANNEL = "#push-back-oncall"
MAX_NAMED = 3
NEXT_UNANSWERED = "Look at what the service refuses, and why: its answers name the field."
NEXT = "Look at what moved first: a broken feed is repaired, not retrained."


def payload(
    alert: Alert, version: str, drifted: Sequence[str], findings: Sequence[str]
) -> dict[str, object]:
    """Return the message for the team: the alert, and where to look first.

    Parameters
    ----------
    version
        The model version that serves.
    drifted, findings
        The inputs that moved, most moved first, and the sentences of the data checks that failed.
    """
    return {
        "channel": CHANNEL,
        "text": alert.message,
        "model_version": version,
        "inputs_moved": list(drifted[:MAX_NAMED]),
        "data_checks_failed": list(findings[:MAX_NAMED]),
        "next": NEXT_UNANSWERED if alert.rule == UNANSWERED_RULE else NEXT,
    }
