"""What a person sets before a run: the values, what the page offers, and what somebody typed.

No widget lives here. The page shows `choices` and `shown`, and sends back what was typed as text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.data.incidents import DESK, FEED
from mlops_course.pipeline.events import ASK, MYSTERY
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig, Scenario
from mlops_course.telling import setting_string
from mlops_course.telling.wording import drawn

FIRST_CHOICE = ("good", "drift")
_LONGER = "Longer stretches"
_UNKNOWN = "Unknown cause"
_BY_OWNER: Mapping[str, str] = {
    FEED: "Data arrives wrong",
    DESK: "Data arrives wrong",
    "": "The world changes",
    "release": "A model promoted by hand",
    "labels": "Labels or monitoring fail",
    "monitoring": "Labels or monitoring fail",
}
"""Under what heading the page offers an incident, by who could end it."""


@dataclass(frozen=True)
class Pace:
    """How fast weeks pass on the screen: its words, and seconds from one week to the next."""

    words: str
    seconds: float


PACES: Mapping[str, Pace] = {
    "watch": Pace("a week a second", 1.0),
    "quick": Pace("four weeks a second", 0.25),
    "instant": Pace("as fast as it runs", 0.0),
}


@dataclass(frozen=True)
class Settings:
    """The settings of a run, and a key of `PACES`.

    Raises
    ------
    ParameterError
        If there is no such pace; `RunConfig` refuses what it cannot run.
    """

    config: RunConfig
    pace: str = "watch"

    def __post_init__(self) -> None:
        if self.pace not in PACES:
            raise ParameterError(
                f"The pace is {short(self.pace)!r}.",
                f"It is {', '.join(map(repr, PACES))}.",
                "Choose one of them.",
            )


def changed(settings: Settings, name: str, value: object) -> Settings:
    """Return settings with one of them changed; a text is read as somebody would type it.

    Parameters
    ----------
    name
        ``scenario``, ``weeks``, ``seed``, ``threshold``, ``retrain``, ``ask`` or ``pace``; to ask
        and to retrain automatically exclude each other. Or ``settings`` for all of a run's at
        once, as a line (`setting_string`).
    value
        As `PipelineSimulator` takes it, or a text: ``"85"``, ``"85%"`` and ``"0.85"`` are one
        threshold.

    Raises
    ------
    ParameterError
        If there is no such setting, or the value is none that it may have.

    >>> usual = Settings(RunConfig())
    >>> changed(usual, "threshold", "85%").config.threshold
    0.85
    """
    if name == "settings":
        return replace(settings, config=_asked(str(value)))
    if name not in ("scenario", "weeks", "seed", "threshold", "retrain", "ask", "pace"):
        raise ParameterError(
            f"There is no setting {short(name)!r}.",
            "They are scenario, weeks, seed, threshold, retrain, ask and pace, or settings for a "
            "line.",
            "Change one of these.",
        )
    if name == "pace":
        return replace(settings, pace=str(value))
    if name == "scenario":
        return replace(settings, config=_moved(settings.config, str(value)))
    if name == "ask":
        return changed(settings, "retrain", ASK if value else "auto")
    if name == "retrain":
        value = retrain_word(value)
    elif isinstance(value, str):
        value = _threshold(value) if name == "threshold" else _whole(name, value)
    given: dict[str, Any] = {name: value}
    return replace(settings, config=replace(settings.config, **given))


def retrain_word(value: object) -> str:
    """Return what a run calls it: ``auto`` for True, ``never`` for False, and a word as it is."""
    if isinstance(value, bool):
        return "auto" if value else "never"
    return str(value)


def choices() -> dict[str, object]:
    """Return what the page offers, the same for every simulator."""
    first = {SCENARIOS[name].incident.name for name in FIRST_CHOICE}
    groups: dict[str, list[list[str]]] = {
        heading: [] for heading in (*_BY_OWNER.values(), _LONGER, _UNKNOWN)
    }
    for name, scenario in SCENARIOS.items():
        if name not in first and name not in FIRST_CHOICE:
            groups[_heading(scenario)].append([name, scenario.title])
    return {
        "first": [[name, SCENARIOS[name].title] for name in FIRST_CHOICE],
        "others": [[heading, group] for heading, group in groups.items()],
        "paces": [[name, pace.words, pace.seconds] for name, pace in PACES.items()],
        "most_weeks": {name: scenario.max_weeks for name, scenario in SCENARIOS.items()},
    }


def _heading(scenario: Scenario) -> str:
    if scenario.name == MYSTERY:
        return _UNKNOWN
    longer = scenario.default_weeks > SCENARIOS[FIRST_CHOICE[0]].default_weeks
    return _LONGER if longer else _BY_OWNER[scenario.incident.owner]


def shown(settings: Settings) -> dict[str, object]:
    """Return the settings as the page shows them; ``none`` and ``clock`` are *good*, *drift*."""
    config = settings.config
    return {
        "scenario": _known_as(config.scenario),
        "weeks": config.planned_weeks,
        "seed": config.seed,
        "threshold": f"{100 * config.threshold:g}%",
        "retrain": config.retrain == "auto",
        "ask": config.retrain == ASK,
        "pace": settings.pace,
    }


def why_stale(ran: RunConfig, now: RunConfig) -> str:
    """Return why a run is not what the settings say now; empty if it is."""
    if ran == now:
        return ""
    return (
        f"The settings have changed. Below is still the former run "
        f"({SCENARIOS[ran.scenario].title}, {drawn(ran.seed)}): press Run pipeline."
    )


def _asked(line: str) -> RunConfig:
    """Return the settings of a line; a policy is chosen when a simulator is made."""
    asked = setting_string.read(line)
    if asked.policy or asked.choices:
        named = asked.policy or ",".join(asked.choices)
        raise ParameterError(
            f"The settings say what is to decide: {named}.",
            "A simulator keeps the policy that it was made with.",
            f"Make one: PipelineSimulator.from_settings({line!r}).",
        )
    return asked.config


def _known_as(scenario: str) -> str:
    alike = {SCENARIOS[name].incident.name: name for name in FIRST_CHOICE}
    return alike.get(scenario, scenario)


def _moved(config: RunConfig, scenario: str) -> RunConfig:
    """Return settings with another scenario, and with its own weeks where its year is another."""
    chosen = RunConfig(scenario)
    alike = SCENARIOS[scenario].max_weeks == SCENARIOS[config.scenario].max_weeks
    weeks = config.planned_weeks if alike else chosen.planned_weeks
    return replace(config, scenario=scenario, weeks=weeks)


def _whole(name: str, typed: str) -> int:
    try:
        return int(typed)
    except ValueError:
        raise ParameterError(
            f"{name.capitalize()}: {short(typed)!r} was typed.",
            "It is a whole number.",
            "It stays as it was.",
        ) from None


def _threshold(typed: str) -> float:
    """Read an accuracy: a percentage, with its sign or without, or a share below 1."""
    try:
        number = float(typed.strip().removesuffix("%"))
    except ValueError:
        number = float("nan")
    share = number if number < 1 and "%" not in typed else number / 100
    if not 0.5 <= share <= 0.999:
        raise ParameterError(
            f"Alert below: {short(typed)!r} was typed.",
            "It is a percentage from 50 to 99.9, such as 85 or 92%.",
            "It stays as it was.",
        )
    return round(share, 6)
