"""What somebody on call can look at and do, what it costs, and the one unit in which it is counted.

The unit is a flight called wrong. An hour of somebody's work, a call that came too late and a team
that was called in vain have a price in it, which stands here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HOUR = 4.0  # an hour of the engineer's work
UNANSWERED = 0.5  # a flight without an answer: a coin would do as well
SLOW = 0.1  # an answer that took too long: one desk in ten has not waited
SLOW_MS = 30.0  # of the model, for a request
IN_VAIN = 60.0  # a team that was called and found nothing
DECLARED = 40.0  # an incident that was declared: people of several teams on a call
CONFIDENCE = 100.0  # a cause stated with certainty that is none
SILENT = 0.5  # how sure somebody counts as who states no cause

REPAIR_DAYS = 7
URGENT_REPAIR_DAYS = 3
DECLARED_DAYS = 14
LABEL_DAYS = 3
CANARY_DAYS = 7
CANARY_SHARE = 1 / 3
HELD_OUT_DAYS = 3  # the newest labelled days, on which a retrained model is judged
WORK_MINUTES = 480  # of a day


@dataclass(frozen=True)
class Thing:
    """Something that can be looked at or done.

    Attributes
    ----------
    title
        Its name for people.
    minutes
        How long it takes.
    cost
        What comes of it, or what it costs besides, in a sentence.
    states
        Whether it goes with a stated cause.
    """

    title: str
    minutes: int
    cost: str
    states: bool = False


LOOKS: Mapping[str, Thing] = {
    "overview": Thing("Dashboard", 5, "Day by day: flights, answers, calls, labels, versions."),
    "weeks": Thing("Accuracy by week", 5, "As far as labels are in, with the rule beside it."),
    "slices": Thing("Slices", 15, "The last seven days by airport and by airline."),
    "drift": Thing("Drift report", 20, "The inputs of the last seven days against calm weeks."),
    "change": Thing("Change point", 15, "The day since which an input is otherwise."),
    "registry": Thing("Registry log", 5, "Who made which version the champion, when, and why."),
    "service": Thing("Service log", 10, "The last seven days' requests: refusals, reasons, speed."),
    "rows": Thing("Sample of rows", 10, "What the feed delivered yesterday, by airport."),
    "upstream": Thing("Ask upstream", 15, "They answer in some days, and may be mistaken."),
}

ACTIONS: Mapping[str, Thing] = {
    "dismiss": Thing("Dismiss", 10, "All open alarms are closed. Nothing else changes.", True),
    "silence": Thing("Silence an alarm", 5, "It calls nobody for so many days."),
    "fix-feed": Thing(
        "Have the feed repaired",
        30,
        f"Its owners look, and repair what is broken in {REPAIR_DAYS} days; in "
        f"{URGENT_REPAIR_DAYS} if an incident is declared. In vain it costs {IN_VAIN:g}.",
        True,
    ),
    "revert-desk": Thing(
        "Have the desks' release reverted",
        30,
        f"It is back tomorrow. In vain it costs {IN_VAIN:g}.",
        True,
    ),
    "roll-back": Thing(
        "Roll back", 30, "From tomorrow the version serves that served before.", True
    ),
    "retrain": Thing(
        "Retrain",
        240,
        f"A candidate learns from the weeks you name, without the newest {HELD_OUT_DAYS} labelled "
        "days. It serves from tomorrow, unless it is worse there.",
        True,
    ),
    "canary": Thing(
        "Retrain, with a canary",
        300,
        f"The candidate answers a third of the requests for {CANARY_DAYS} days. Then the gate "
        "judges it, once their labels are in.",
        True,
    ),
    "hold": Thing(
        "Hold traffic", 20, "From tomorrow the one-line rule answers instead of the model."
    ),
    "resume": Thing("Resume", 20, "From tomorrow the model answers again."),
    "chase-labels": Thing(
        "Have the labels looked after",
        30,
        f"Their pipeline is unstuck in {LABEL_DAYS} days. In vain it costs {IN_VAIN:g}.",
        True,
    ),
    "restart-monitoring": Thing(
        "Restart the monitoring", 20, "It works again from tomorrow.", True
    ),
    "declare": Thing(
        "Declare an incident",
        60,
        f"For {DECLARED_DAYS} days all owners treat it as urgent. It costs {DECLARED:g}.",
    ),
}
