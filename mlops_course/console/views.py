"""What the console shows of a shift: pure functions from a drill to HTML, and no truth in them."""

from collections.abc import Mapping, Sequence
from datetime import date

from markupsafe import Markup

from mlops_course.console.page import day_words
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drawing.markup import DOT, SQUARE, TRIANGLE, at, element, icon, join
from mlops_course.oncall.acting import MAX_SILENT_DAYS, MAX_WEEKS
from mlops_course.oncall.state import ANSWER, CHANGE, DONE, PAGER, Alarm, Drill, Entry
from mlops_course.shifts.prices import ACTIONS, HOUR, LOOKS, WORK_MINUTES, Thing

LOOKED = "look"
KINDS: Mapping[str, str] = {
    PAGER: "Pager",
    DONE: "You did",
    ANSWER: "Answer",
    CHANGE: "Change",
    LOOKED: "You looked",
}
SEVERITIES = ("page", "ticket", "note")
_LANES = (
    (PAGER, "Alarms", TRIANGLE, "moc-alarm"),
    (DONE, "Actions", SQUARE, "moc-done"),
    (CHANGE, "Changes and answers", DOT, "moc-change"),
)
_LANE_HEIGHT = 22
_TOP = 16
_WEEK_DAYS = 7
_MANY_WEEKS = 13
_USUAL_WEEKS = 4
_USUAL_SILENT_DAYS = 7


# ---- the pager and the clock


def pager(drill: Drill) -> Markup:
    """Return the open alarms, the most urgent first, and what is under way."""
    alarms = sorted(drill.alarms.values(), key=_urgency)
    told = element("ul", *map(_alarm, alarms), class_="moc-alarms") if alarms else _quiet_pager()
    waiting = sorted(drill.orders, key=lambda order: order.due)
    orders = [
        element("li", f"{order.name.capitalize()}: due on {day_words(order.due)}.")
        for order in waiting
    ]
    return join(
        element("h3", f"Pager: {_count(len(alarms), 'open alarm')}"),
        told,
        join(element("h4", "Under way"), element("ul", *orders)) if orders else "",
    )


def _quiet_pager() -> Markup:
    return element("p", "No alarm is open.", class_="mls-quiet")


def _urgency(alarm: Alarm) -> tuple[int, date]:
    severity = alarm.alert.severity
    place = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
    return place, alarm.since


def _alarm(alarm: Alarm) -> Markup:
    alert = alarm.alert
    return element(
        "li",
        icon("alert"),
        element(
            "div",
            element("b", f"{alert.severity.capitalize()}: {alert.rule}"),
            element("span", f" since {day_words(alarm.since)}", class_="mls-quiet"),
            element("p", alert.message),
            element("p", element("b", "Runbook:"), f" {alert.runbook}"),
        ),
        data_key=f"alarm-{alert.rule}",
        data_severity=alert.severity,
    )


def alarm_lines(drill: Drill) -> list[str]:
    """Return the open alarms as lines of text."""
    alarms = sorted(drill.alarms.values(), key=_urgency)
    if not alarms:
        return ["No alarm is open."]
    return [
        f"{alarm.alert.severity.capitalize()}: {alarm.alert.rule}, since "
        f"{day_words(alarm.since)}. {alarm.alert.message} {alarm.alert.runbook}"
        for alarm in alarms
    ]


def tiles(drill: Drill) -> list[tuple[str, str, str]]:
    """Return what the clock says: a name, a value, and a word more for each."""
    shift = drill.shift
    day = min(drill.today, shift.last)
    week = (day - shift.first).days // _WEEK_DAYS + 1
    left = WORK_MINUTES - drill.minute
    charged = sum(charge.harm for charge in drill.charges)
    return [
        ("Day", day_words(day), "the shift is over" if drill.over else f"minute {drill.minute}"),
        ("Week of the shift", f"{week} of {shift.weeks}", f"until {day_words(shift.last)}"),
        ("Work left today", f"{left} min", f"of {WORK_MINUTES}; more is overtime"),
        ("Your work so far", hours(drill.minutes), f"counts as {worth(drill.minutes)}"),
        ("Calls on others", f"{charged:g} flights", "incidents declared, calls in vain"),
    ]


def clock(drill: Drill) -> Markup:
    """Return the day, the week, what is left of the day's work, and what is known to have cost."""
    return join(
        *(
            element(
                "div",
                element("dt", name),
                element("dd", element("b", value), element("span", more)),
                class_="mls-tile",
            )
            for name, value, more in tiles(drill)
        )
    )


def hours(minutes: int) -> str:
    """Return a time of work.

    >>> hours(75)
    '1 h 15 min'
    """
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def worth(minutes: int) -> str:
    """Return what work counts as, in flights called wrong.

    >>> worth(20), worth(15)
    ('1.3 flights', '1 flight')
    """
    harm = round(HOUR * minutes / 60, 1)
    return f"{harm:g} flight{'' if harm == 1 else 's'}"


# ---- the timeline


def timeline(drill: Drill) -> Markup:
    """Return the days so far: alarms, actions and changes, each in a lane of its own."""
    shift = drill.shift
    days = shift.weeks * _WEEK_DAYS
    height = _TOP + len(_LANES) * _LANE_HEIGHT
    today = min((drill.today - shift.first).days, days)
    marks: list[Markup] = []
    for lane, (kind, _, shape, class_) in enumerate(_LANES):
        middle = _TOP + (lane + 0.5) * _LANE_HEIGHT
        mark = element("path", d=shape, class_=class_)
        places = _places(drill, kind)
        marks += [at(f"{100 * (place + 0.5) / days:.2f}%", middle, mark) for place in places]
    picture = element(
        "svg",
        element("rect", x=0, y=_TOP, width=f"{100 * today / days:.2f}%", height=height - _TOP),
        *_weeks(drill, height),
        *marks,
        role="img",
        width="100%",
        height=height,
        aria_label=_described(drill),
        class_="moc-days",
    )
    names = [element("li", name) for _, name, _, _ in _LANES]
    lanes = element("ul", *names, class_="moc-lanes", aria_hidden="true")
    return join(
        element("h3", "The shift so far"),
        element("div", lanes, picture, class_="moc-timeline"),
        element("p", "The same in words is in the log below.", class_="mls-quiet"),
    )


def _places(drill: Drill, lane: str) -> list[int]:
    """Return the days with something of a lane, counted from the shift's first."""
    kinds = (CHANGE, ANSWER) if lane == CHANGE else (lane,)
    found = {(entry.day - drill.shift.first).days for entry in drill.log if entry.kind in kinds}
    return sorted(found)


def _weeks(drill: Drill, height: int) -> list[Markup]:
    shift = drill.shift
    step = 1 if shift.weeks <= _MANY_WEEKS else _USUAL_WEEKS
    drawn = []
    for week in range(0, shift.weeks, step):
        x = f"{100 * week / shift.weeks:.2f}%"
        drawn.append(element("line", x1=x, x2=x, y1=_TOP, y2=height, class_="mls-grid"))
        drawn.append(element("text", f"wk {week + 1}", x=x, y=11, class_="mls-tick"))
    return drawn


def _described(drill: Drill) -> str:
    told = []
    for kind, name, _, _ in _LANES:
        days = len(_places(drill, kind))
        told.append(f"{name} on {_count(days, 'day')}")
    passed = len(drill.days)
    return f"{_count(passed, 'day')} of {drill.shift.weeks * _WEEK_DAYS} so far. {'. '.join(told)}."


# ---- what can be done


def looks() -> Markup:
    """Return a button for each thing to look at."""
    return _buttons("look", LOOKS, {})


def actions(drill: Drill) -> Markup:
    """Return a button for each action, with the fields that it needs."""
    rules = [element("option", name, value=name) for name in sorted(drill.alarms)]
    none = element("option", "no alarm is open", value="")
    weeks = _number("weeks", "Weeks to train on", _USUAL_WEEKS, MAX_WEEKS)
    silence = join(
        element("label", "Alarm ", element("select", *(rules or [none]), name="rule")),
        _number("days", "Days", _USUAL_SILENT_DAYS, MAX_SILENT_DAYS),
    )
    return _buttons("act", ACTIONS, {"retrain": weeks, "canary": weeks, "silence": silence})


def _number(name: str, words: str, usual: int, most: int) -> Markup:
    field = element("input", type="number", name=name, min=1, max=most, value=usual)
    return element("label", f"{words} ", field)


def _buttons(kind: str, things: Mapping[str, Thing], fields: Mapping[str, Markup]) -> Markup:
    made = []
    for name, thing in things.items():
        button = element(
            "button",
            element("b", thing.title),
            element("span", f"{thing.minutes} min, counts as {worth(thing.minutes)}."),
            element("span", thing.cost + (" Goes with your cause." if thing.states else "")),
            type="button",
            **{f"data_{kind}": name},
        )
        made.append(element("li", button, fields.get(name, Markup("")), data_key=name))
    return join(*made)


def causes() -> list[tuple[str, str]]:
    """Return what can be stated as a cause: names and titles, in the order of the alphabet."""
    titles = sorted((incident.title, name) for name, incident in INCIDENTS.items())
    return [("", "I do not say"), *((name, title) for title, name in titles)]


# ---- the log


def entries(drill: Drill) -> list[Entry]:
    """Return all that was told and looked at, in order of time."""
    looked = [
        Entry(step.day, step.minute, LOOKED, f"{LOOKS[step.name].title}.")
        for step in drill.steps
        if step.name in LOOKS
    ]
    return sorted([*drill.log, *looked], key=lambda entry: (entry.day, entry.minute))


def log(drill: Drill, shown: int | None = None) -> Markup:
    """Return the log, the newest first; of all entries, or of the newest so many."""
    found = entries(drill)[::-1][:shown]
    if not found:
        return element("p", "What happens, and what you do, stands here.", class_="mls-quiet")
    return element("ol", *map(_entry, found), class_="moc-log")


def _entry(entry: Entry) -> Markup:
    return element(
        "li",
        element("b", KINDS[entry.kind]),
        element("span", f"{day_words(entry.day)}, min {entry.minute}", class_="mls-when"),
        element("span", entry.text),
        data_kind=entry.kind,
    )


def log_lines(drill: Drill, shown: int) -> Sequence[str]:
    """Return the newest entries of the log as lines, in order of time."""
    return [
        f"{day_words(entry.day)}, min {entry.minute}: {KINDS[entry.kind].lower()}: {entry.text}"
        for entry in entries(drill)[-shown:]
    ]


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
