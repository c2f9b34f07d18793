"""The pipeline without a screen: told line by line on stderr, summed up on stdout."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from mlops_course.cli.terminal import DONE, FAILED, end_on_sigterm, say
from mlops_course.core.workspace import open_workspace
from mlops_course.pipeline.events import Event
from mlops_course.pipeline.state import RunState, fold, result_of
from mlops_course.pipeline.wording import terminal_line


def simulate(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Run a scenario and sum it up, or list the scenarios."""
    from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig

    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:<14} {scenario.title}. {scenario.story}")
        return DONE
    config = RunConfig(
        options.scenario, options.weeks, options.seed, options.threshold, options.retrain
    )
    workspace = open_workspace()
    end_on_sigterm()

    from mlops_course.pipeline.loop import run_pipeline

    with closing(run_pipeline(config, workspace)) as events:
        state = fold(_narrated(events))
    if options.json:
        print(json.dumps(summarise(state), allow_nan=False))
    elif not state.error:
        print(f"{state.seconds:.1f} s for {len(state.weeks)} of {config.planned_weeks} weeks.")
    return FAILED if state.error else DONE


def summarise(state: RunState) -> dict[str, Any]:
    """Return a run as one plain record, the object that ``simulate --json`` prints."""
    result = result_of(state)
    started = state.started
    columns = ["week", "rows", "unanswered", "accuracy", "model_version", "drifted", "alert"]
    weeks = result.weeks[columns]
    seconds = result.stages.groupby("stage", sort=False)["seconds"].sum()
    record = {
        "scenario": started and started.scenario,
        "seed": started and started.seed,
        "threshold": started and started.threshold,
        "weeks": weeks.astype(object).where(weeks.notna(), None).to_dict("records"),
        "alerts": result.alerts.to_dict("records"),
        "promotions": result.promotions.to_dict("records"),
        "stages": seconds.to_dict(),
        "total_seconds": state.seconds,
    }
    return record | ({"failed": state.error} if state.error else {})


def _narrated(events: Iterator[Event]) -> Iterator[Event]:
    """Pass events on, and tell each of them on stderr."""
    for event in events:
        if line := terminal_line(event):
            say(line)
        yield event
