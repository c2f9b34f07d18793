"""What can be done on call, one function an action: each does it for real, or orders it.

An action returns a sentence that says what comes of it. It is refused, and nothing has happened,
if it cannot be done now.
"""

from collections.abc import Callable, Mapping
from datetime import date

from mlops_course.core.errors import ParameterError
from mlops_course.data.incidents import DESK, FEED
from mlops_course.oncall.state import ANSWER, CHANGE, DAY, YOU, Drill
from mlops_course.serving.routing import Split
from mlops_course.shifts.ledger import Charge
from mlops_course.shifts.prices import (
    CANARY_DAYS,
    CANARY_SHARE,
    DECLARED,
    DECLARED_DAYS,
    HELD_OUT_DAYS,
    IN_VAIN,
    LABEL_DAYS,
    REPAIR_DAYS,
    URGENT_REPAIR_DAYS,
)
from mlops_course.shifts.retraining import Candidate, judged, trained

MAX_SILENT_DAYS = 28
MAX_WEEKS = 26
CANARY_LABEL_DAYS = 2  # after the last day of a canary its labels are in


def dismiss(drill: Drill) -> str:
    """Close all open alarms until they end."""
    if not drill.alarms:
        raise _refused("No alarm is open.", "Only open alarms can be dismissed.")
    closed = ", ".join(sorted(drill.alarms))
    drill.dismissed |= set(drill.alarms)
    drill.alarms.clear()
    return f"Closed: {closed}."


def silence(drill: Drill, rule: str = "", days: int = 7) -> str:
    """Let an alarm call nobody for some days."""
    if rule not in drill.alarms:
        raise _refused(
            f"No alarm {rule!r} is open.",
            f"Open alarms: {', '.join(drill.alarms) or 'none'}.",
        )
    _check_whole("days", days, MAX_SILENT_DAYS)
    until = drill.today + days * DAY
    drill.silenced[rule] = until
    del drill.alarms[rule]
    return f"{rule} calls nobody until {until}."


def fix_feed(drill: Drill) -> str:
    """Ask the feed's owners to look and to repair."""
    urgent = drill.declared is not None and drill.today < drill.declared + DECLARED_DAYS * DAY
    days = URGENT_REPAIR_DAYS if urgent else REPAIR_DAYS
    return f"The feed's owners answer on {_ask(drill, 'feed repaired', FEED, days)}."


def revert_desk(drill: Drill) -> str:
    """Ask the desks' team to take its latest release back."""
    return f"The desks' team answers on {_ask(drill, 'desk reverted', DESK, 1)}."


def chase_labels(drill: Drill) -> str:
    """Ask the labels' team to look after its pipeline."""
    return f"The labels' team answers on {_ask(drill, 'labels unstuck', 'labels', LABEL_DAYS)}."


def restart_monitoring(drill: Drill) -> str:
    """Start the job that looks at the rules anew."""
    _once(drill, "monitoring restarted")
    drill.order(1, "monitoring restarted", owner="monitoring")
    return "From tomorrow the rules are looked at again."


def roll_back(drill: Drill) -> str:
    """Let the version before serve again."""
    _once(drill, "rolled back")
    if len(drill.champions) < 2:
        raise _refused(
            f"No version served before version {drill.champion} that could serve again.",
            "A rollback needs one.",
        )
    drill.order(1, "rolled back", leaving=drill.champion)
    return f"From tomorrow version {drill.champions[-2]} serves again."


def retrain(drill: Drill, weeks: int = 4) -> str:
    """Train a candidate on the last weeks, and let it serve if it is not worse on newer days."""
    candidate = _candidate(drill, weeks)
    newest = drill.today - (HELD_OUT_DAYS + 1) * DAY
    verdict = judged(candidate, [one for one in drill.served if one.day >= newest], drill.today)
    if not verdict.passed:
        return f"Not promoted. {verdict.seen}"
    why = f"trained on {weeks} weeks"
    version = _registered(drill, candidate, why)
    drill.order(1, "promoted", version=version, reason=f"{why}; {verdict.seen}")
    return f"Version {version} serves from tomorrow. {verdict.seen}"


def canary(drill: Drill, weeks: int = 4) -> str:
    """Train a candidate, let it answer some requests, and have the gate judge it on them."""
    if drill.challenger or drill.awaits("canary begun"):
        raise _refused("A canary is under way.", "There is one at a time.")
    candidate = _candidate(drill, weeks)
    version = _registered(drill, candidate, f"trained on {weeks} weeks, for a canary")
    drill.candidates[version] = candidate
    drill.order(1, "canary begun", version=version)
    due = drill.order(1 + CANARY_DAYS + CANARY_LABEL_DAYS, "canary judged", version=version)
    return f"Version {version} answers a third of the requests from tomorrow; verdict on {due}."


def hold(drill: Drill) -> str:
    """Let the one-line rule answer from tomorrow on."""
    _once(drill, "held")
    if drill.held:
        raise _refused("Traffic is held already.", "Resume lets the model answer again.")
    drill.order(1, "held")
    return "From tomorrow the rule dep_delay > 15 answers."


def resume(drill: Drill) -> str:
    """Let the model answer again from tomorrow on."""
    _once(drill, "resumed")
    if not drill.held:
        raise _refused("Traffic is not held.", "Only held traffic can be resumed.")
    drill.order(1, "resumed")
    return f"From tomorrow version {drill.champion} answers again."


def declare(drill: Drill) -> str:
    """Declare an incident: what is asked from now on is urgent, and so is what was asked."""
    drill.declared = drill.today
    drill.charges.append(Charge(drill.today, "incident declared", DECLARED))
    soon = drill.today + URGENT_REPAIR_DAYS * DAY
    waiting = drill.awaits("feed repaired")
    if waiting and waiting.due > soon:
        drill.orders.remove(waiting)
        drill.order(URGENT_REPAIR_DAYS, "feed repaired", **waiting.options)
    return f"Until {drill.today + DECLARED_DAYS * DAY} owners treat it as urgent."


ACTS: Mapping[str, Callable[..., str]] = {
    "dismiss": dismiss,
    "silence": silence,
    "fix-feed": fix_feed,
    "revert-desk": revert_desk,
    "roll-back": roll_back,
    "retrain": retrain,
    "canary": canary,
    "hold": hold,
    "resume": resume,
    "chase-labels": chase_labels,
    "restart-monitoring": restart_monitoring,
    "declare": declare,
}


# ---- what takes effect on a morning


def _owners_answer(drill: Drill, owner: str, team: str) -> None:
    """End what a team owns and finds; a team that finds nothing was called in vain."""
    found = [one for one in drill.present(drill.today) if one.incident.owner == owner]
    for one in found:
        drill.end(one, drill.today)
    if found:
        drill.tell(ANSWER, f"{team} found it and repaired it: it is right from today on.")
    else:
        drill.charges.append(Charge(drill.today, f"{team}, in vain", IN_VAIN))
        drill.tell(ANSWER, f"{team} looked and found nothing wrong.")


def _feed_repaired(drill: Drill, owner: str) -> None:
    _owners_answer(drill, owner, "The feed's owners")


def _desk_reverted(drill: Drill, owner: str) -> None:
    _owners_answer(drill, owner, "The desks' team")


def _labels_unstuck(drill: Drill, owner: str) -> None:
    _owners_answer(drill, owner, "The labels' team")


def _monitoring_restarted(drill: Drill, owner: str) -> None:
    for one in drill.present(drill.today):
        if one.incident.owner == owner:
            drill.end(one, drill.today)
    drill.tell(CHANGE, "The monitoring was restarted.")


def _rolled_back(drill: Drill, leaving: str) -> None:
    if drill.champion != leaving or len(drill.champions) < 2:
        drill.tell(CHANGE, f"Not rolled back: version {leaving} is champion no longer.")
        return
    drill.champions.pop()
    drill.system.roll_back(drill.champion, drill.today, YOU, f"Back from version {leaving}.")
    drill.tell(CHANGE, f"Version {drill.champion} serves again.")


def _promoted(drill: Drill, version: str, reason: str) -> None:
    drill.champions.append(version)
    drill.system.promote(version, drill.today, YOU, reason)
    drill.tell(CHANGE, f"Version {version} serves now.")


def _canary_begun(drill: Drill, version: str) -> None:
    drill.challenger = version
    drill.system.split(Split("canary", CANARY_SHARE), version)
    drill.tell(CHANGE, f"Version {version} answers a third of the requests.")


def _canary_judged(drill: Drill, version: str) -> None:
    first = drill.today - (CANARY_DAYS + CANARY_LABEL_DAYS) * DAY
    days = [one for one in drill.served if first <= one.day < first + CANARY_DAYS * DAY]
    drill.challenger = ""
    drill.system.split(Split(), "")
    verdict = judged(drill.candidates.pop(version), days, drill.today)
    if verdict.passed:
        _promoted(drill, version, f"canary passed; {verdict.seen}")
    drill.tell(ANSWER, f"{'Passed' if verdict.passed else 'Not promoted'}. {verdict.seen}")


def _held(drill: Drill) -> None:
    drill.held = True
    drill.tell(CHANGE, "The rule answers.")


def _resumed(drill: Drill) -> None:
    drill.held = False
    drill.tell(CHANGE, f"Version {drill.champion} answers again.")


EFFECTS: Mapping[str, Callable[..., None]] = {
    "feed repaired": _feed_repaired,
    "desk reverted": _desk_reverted,
    "labels unstuck": _labels_unstuck,
    "monitoring restarted": _monitoring_restarted,
    "rolled back": _rolled_back,
    "promoted": _promoted,
    "canary begun": _canary_begun,
    "canary judged": _canary_judged,
    "held": _held,
    "resumed": _resumed,
}


# ---- helpers


def _ask(drill: Drill, order: str, owner: str, days: int) -> date:
    _once(drill, order)
    return drill.order(days, order, owner=owner)


def _once(drill: Drill, order: str) -> None:
    waiting = drill.awaits(order)
    if waiting is not None:
        raise _refused(
            f"That is under way already, and takes effect on {waiting.due}.",
            "One order of a kind waits at a time.",
        )


def _candidate(drill: Drill, weeks: int) -> Candidate:
    _check_whole("weeks", weeks, MAX_WEEKS)
    return trained(drill.served, drill.today, weeks)


def _registered(drill: Drill, candidate: Candidate, why: str) -> str:
    version = drill.system.register(candidate.result, candidate.rows, why)
    drill.versions[version] = candidate.result
    return version


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise _refused(f"{name} is {value!r}.", f"It is a whole number from 1 to {most}.")


def _refused(happened: str, expected: str) -> ParameterError:
    return ParameterError(happened, expected, "Do something else, or let a day pass.")
