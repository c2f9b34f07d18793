"""A mystery: its truth is kept from whoever looks, until it was named or the run is over."""

from collections.abc import Sequence

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.pipeline.asking import Revealed
from mlops_course.pipeline.events import MYSTERY, Event, WeekScored
from mlops_course.pipeline.scenarios import DIAGNOSES, RunConfig, scenario_of
from mlops_course.pipeline.state import RunState, is_hidden, without_truth


def hiding(events: Sequence[Event], state: RunState) -> tuple[Event, ...]:
    """Return a run's events as they may be seen: without the truth while that is hidden."""
    if not is_hidden(state):
        return tuple(events)
    return tuple(
        without_truth(event) if isinstance(event, WeekScored) else event for event in events
    )


def reveal(config: RunConfig, events: Sequence[Event], state: RunState, named: str) -> Revealed:
    """Return what a mystery was, once somebody has named an incident, or the run is over.

    Parameters
    ----------
    config
        What the run began with.
    events
        All that it said, the truth among it.
    named
        A key of `scenarios.DIAGNOSES`; empty to be told without naming one.

    Raises
    ------
    ParameterError
        If there is no mystery to solve, nothing to judge by yet, or no such diagnosis.
    """
    if not is_hidden(state) or not state.weeks:
        raise ParameterError(
            "There is no mystery to solve.",
            "A run of the scenario mystery has scored a week, and nobody was told the truth yet.",
            f"Choose the scenario {MYSTERY!r}, and run it.",
        )
    if not named and state.status != "finished":
        raise ParameterError(
            "No diagnosis was named, and the run is not over.",
            "Before its end the truth is told to whoever names one.",
            "Name one, or wait for the end.",
        )
    if named and named not in DIAGNOSES:
        raise ParameterError(
            f"There is no diagnosis {short(repr(named))}.",
            f"The diagnoses are {', '.join(DIAGNOSES)}.",
            "Name one of them.",
        )
    incident = scenario_of(config).incident
    weeks = [event for event in events if isinstance(event, WeekScored)]
    return Revealed(
        weeks[-1].week,
        DIAGNOSES[incident.name],
        DIAGNOSES.get(named, ""),
        struck=tuple(week.week for week in weeks if week.incident),
        story=incident.story,
        response=incident.response,
    )
