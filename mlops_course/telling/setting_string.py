"""A run's settings as one short line: ``drift weeks=8 seed=0 alert=90% retrain=auto``.

The line is shown with the run. Whoever reads it into a simulator or a terminal gets the same run:
the same figures, with seconds and ids of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.deciding.choices import CHOICES, Choices
from mlops_course.pipeline.events import ASK
from mlops_course.pipeline.policies import NAMED, Policy
from mlops_course.pipeline.scenarios import RETRAINING, SCENARIOS, RunConfig
from mlops_course.pipeline.state import RunState, choices_of

EXAMPLE = "drift weeks=8 seed=0 alert=90% retrain=auto"
AS_THEY_WERE = "none"
# A share is written as a percentage if ten digits of it are all of it.
_DIGITS = 10


@dataclass(frozen=True)
class Asked:
    """What a line asks for.

    Attributes
    ----------
    policy
        A key of `policies.NAMED`, or empty.
    choices
        What is answered at alerts, keys of `choices.CHOICES`; empty if a person answers.
    """

    config: RunConfig
    policy: str = ""
    choices: tuple[str, ...] = ()


def write(config: RunConfig, policy: str = "", choices: Sequence[str] = ()) -> str:
    """Return the line of a run's settings.

    Parameters
    ----------
    policy
        A key of `policies.NAMED`, if one decided and not what ``retrain`` says.
    choices
        What was answered at alerts, in order, where ``retrain`` lets somebody choose.

    >>> write(RunConfig("drift"))
    'drift weeks=8 seed=0 alert=90% retrain=auto'
    >>> write(RunConfig("good", 3, None, 0.855), "schedule")
    'good weeks=3 seed=none alert=85.5% policy=schedule'
    >>> write(RunConfig("drift", retrain="ask"), choices=("look", "repair"))
    'drift weeks=8 seed=0 alert=90% choose=look,repair'
    """
    seed = AS_THEY_WERE if config.seed is None else config.seed
    decides = f"policy={policy}" if policy else f"retrain={config.retrain}"
    if choices:
        decides = f"choose={','.join(choices)}"
    alert = _percentage(float(config.threshold))
    return f"{config.scenario} weeks={config.planned_weeks} seed={seed} alert={alert} {decides}"


def of_run(state: RunState) -> str:
    """Return the line that gives a run again; empty if none can, or if none has begun.

    None can where a policy decided that has no name.
    """
    run = state.started
    if run is None:
        return ""
    config = RunConfig(run.scenario, run.weeks, run.seed, run.threshold, run.retrain)
    if run.retrain == ASK:
        return write(config, choices=[entry.choice for entry in choices_of(state)])
    if not run.policy:
        return write(config)
    names = {short(repr(policy)): name for name, policy in NAMED.items()}
    return write(config, names[run.policy]) if run.policy in names else ""


def read(line: str) -> Asked:
    """Return what a line asks for; what it does not say is as usual.

    Raises
    ------
    ParameterError
        If a word of it is unknown, said twice, or has a value that it may not have.

    >>> read("drift seed=7 alert=85%").config
    RunConfig(scenario='drift', weeks=None, seed=7, threshold=0.85, retrain='auto')
    """
    words = line.split() if isinstance(line, str) else []
    if not words:
        raise ParameterError(
            f"The settings are {short(repr(line))}.",
            f"They are one line that begins with a scenario, such as {EXAMPLE!r}.",
            "Copy the line of a run, or write one.",
        )
    scenario, *others = words
    if "=" in scenario:
        raise ParameterError(
            f"The settings begin with {short(scenario)!r}.",
            f"The first word is the scenario: {', '.join(SCENARIOS)}.",
            "Put it in front.",
        )
    values = _values(others)
    deciding = [name for name in ("retrain", "policy", "choose") if name in values]
    if len(deciding) > 1:
        raise ParameterError(
            f"The settings say {' and '.join(deciding)}.",
            "One of them decides what is done at an alert.",
            "Leave the other out.",
        )
    policy = values.pop("policy", "")
    choices = values.pop("choose", ())
    if choices:
        values["retrain"] = ASK
    return Asked(RunConfig(scenario, **values), policy, choices)


def arguments(line: str) -> dict[str, Any]:
    """Return a line as what `PipelineSimulator` takes; raises what `read` raises."""
    asked = read(line)
    policy: Policy | None = NAMED[asked.policy] if asked.policy else None
    if asked.choices:
        policy = Choices(*asked.choices)
    return {**vars(asked.config), "policy": policy}


def _values(words: list[str]) -> dict[str, Any]:
    """Return the words after the scenario, by the names of `RunConfig`, ``policy``, ``choose``."""
    values: dict[str, Any] = {}
    for word in words:
        name, equals, typed = word.partition("=")
        if name not in _WORDS or not equals:
            raise ParameterError(
                f"The word {short(word)!r} is not known.",
                f"After the scenario come {', '.join(f'{known}=' for known in _WORDS)} with a "
                f"value each, such as {EXAMPLE!r}.",
                "Write it so.",
            )
        meant, understand, allowed = _WORDS[name]
        if meant in values:
            raise ParameterError(
                f"The word {short(word)!r} is the second {name}=.",
                "Each is said once.",
                "Leave one of them out.",
            )
        try:
            values[meant] = understand(typed)
        except ValueError:
            raise ParameterError(
                f"The word {short(word)!r} cannot be read.",
                f"{name}= takes {allowed}.",
                f"The usual line is {EXAMPLE!r}.",
            ) from None
    return values


def _whole(typed: str) -> int:
    if not (typed.isascii() and typed.isdecimal()):
        raise ValueError(typed)
    return int(typed)


def _seed(typed: str) -> int | None:
    return None if typed == AS_THEY_WERE else _whole(typed)


def _share(typed: str) -> float:
    """Read ``90%``, ``90`` and ``0.9`` as the same share."""
    number = float(typed.removesuffix("%"))
    share = number if number < 1 and "%" not in typed else round(number / 100, _DIGITS + 2)
    if not 0.5 <= share <= 0.999:
        raise ValueError(typed)
    return share


def _choices(typed: str) -> tuple[str, ...]:
    names = tuple(typed.split(","))
    if not set(names) <= set(CHOICES):
        raise ValueError(typed)
    return names


def _percentage(share: float) -> str:
    words = f"{100 * share:.{_DIGITS}g}%"
    return words if _share(words) == share else repr(share)


def _one_of(names: Mapping[str, object]) -> Callable[[str], str]:
    def understand(typed: str) -> str:
        if typed not in names:
            raise ValueError(typed)
        return typed

    return understand


_WORDS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "weeks": ("weeks", _whole, "a whole number of weeks"),
    "seed": ("seed", _seed, f"a whole number, or {AS_THEY_WERE} for the days as they were"),
    "alert": ("threshold", _share, "a percentage from 50% to 99.9%"),
    "retrain": ("retrain", _one_of(dict.fromkeys(RETRAINING)), ", ".join(RETRAINING)),
    "policy": ("policy", _one_of(NAMED), ", ".join(NAMED)),
    "choose": ("choose", _choices, f"choices with commas between: {', '.join(CHOICES)}"),
}
