"""The pipeline without a notebook: told in lines, or the simulator alone in the browser.

Lines go to stderr, and the sum to stdout. With a policy it is also said what that cost, beside what
would have been best in hindsight.
"""

import argparse
import json
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from mlops_course.cli.terminal import DONE, FAILED, end_on_sigterm, say
from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.deciding.choices import Choices
from mlops_course.pipeline.events import Event, Retrained
from mlops_course.pipeline.policies import NAMED, Policy
from mlops_course.pipeline.state import RunState, fold, result_of, wrong_calls
from mlops_course.telling.wording import terminal_line

if TYPE_CHECKING:
    from mlops_course.pipeline.scenarios import RunConfig

# The options that are a run's settings, by the names of `RunConfig`; there are none unless given.
SETTINGS = ("scenario", "weeks", "seed", "threshold", "retrain")


def simulate(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Run a scenario and sum it up, or list the scenarios."""
    from mlops_course.pipeline.events import ASK
    from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig

    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:<15} {scenario.title}. {scenario.story}")
        return DONE
    if options.settings is not None:
        config = _asked(options)
    elif options.choose:
        config = RunConfig(**{**_said(options), "retrain": ASK})
    else:
        config = RunConfig(**_said(options))
    policy = _policy(options.policy, options.price)
    if options.html is not None:
        from mlops_course.simulator import recording
        from mlops_course.simulator.settings import Settings

        recording.check_path(options.html)
    workspace = open_workspace()
    end_on_sigterm()

    from mlops_course.pipeline.loop import run_pipeline

    decides = Choices(*options.choose) if options.choose else policy
    with closing(run_pipeline(config, workspace, policy=decides)) as events:
        told = list(_narrated(events))
    state = fold(told)
    if state.started is not None:
        say(_again(state))
    if options.html is not None:
        say(f"saved {recording.save(told, Settings(config), options.html)}")
    scored: dict[str, Any] = {}
    if policy is not None and not state.error:
        scored = {"policy": options.policy, **score(workspace, config, state, options.price)}
    if options.json:
        print(json.dumps(summarise(state) | scored, allow_nan=False))
    elif not state.error:
        print(f"{state.seconds:.1f} s for {len(state.weeks)} of {config.planned_weeks} weeks.")
        if scored:
            print(_verdict(**scored))
    return FAILED if state.error else DONE


def _said(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as options of their own."""
    return {name: getattr(options, name) for name in SETTINGS if hasattr(options, name)}


def _asked(options: argparse.Namespace) -> "RunConfig":
    """Return the settings of a line, and take its policy as if it had been given."""
    from mlops_course.telling import setting_string

    if _said(options) or options.policy is not None or options.choose:
        raise ParameterError(
            "The settings were given as a line and as options.",
            "A line says all of a run's settings.",
            "Give --settings alone, or change the line.",
        )
    asked = setting_string.read(options.settings)
    options.policy = asked.policy or None
    options.choose = list(asked.choices)
    return asked.config


def open_simulator(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Serve the simulator alone on a page of this machine, and open it, until interrupted."""
    workspace = open_workspace()
    end_on_sigterm()
    from mlops_course.simulator import standalone
    from mlops_course.simulator.simulator import PipelineSimulator

    def opened(address: str) -> None:
        print(address, flush=True)
        say("The simulator is at that address, on this machine only. Ctrl+C ends it.")
        if not options.no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with closing(standalone.listen(options.port)) as listening:
        simulator = PipelineSimulator(options.scenario, workspace=workspace)
        with closing(simulator), suppress(KeyboardInterrupt):
            standalone.serve(simulator, listening, opened)
    say("Stopped.")
    return DONE


def score(
    workspace: Workspace, config: "RunConfig", state: RunState, price: float | None = None
) -> dict[str, Any]:
    """Return what a run's policy cost, and its regret against the oracle.

    The oracle may train on the last 13 weeks or the last two, whatever the policy chose. A flight
    that the service left unanswered is no wrong call, and for the oracle it is answered.

    Parameters
    ----------
    price
        What a training costs, in wrong calls; None for the usual (`oracle.PRICE`).
    """
    from mlops_course.retraining import oracle
    from mlops_course.retraining.building import build

    price = oracle.PRICE if price is None else price
    table = build(
        workspace,
        [config.scenario],
        oracle.USUAL_WINDOWS,
        seed=config.seed,
        weeks=config.planned_weeks,
        tell=_tell_table,
    )[config.scenario]
    best = oracle.oracle(table, price)
    trainings = sum(isinstance(entry, Retrained) for entry in state.log)
    wrong = sum(map(wrong_calls, state.weeks))
    return {
        "trainings": trainings,
        "wrong": wrong,
        "oracle_wrong": best.wrong,
        "regret": wrong + price * trainings - best.cost(price),
        "oracle_trainings": len(best.trained),
        "price": price,
    }


def _verdict(
    policy: str,
    trainings: int,
    wrong: int,
    oracle_wrong: int,
    regret: float,
    oracle_trainings: int,
    price: float,
) -> str:
    return (
        f"{policy}: {trainings} trainings and {wrong:,} wrong calls. In hindsight "
        f"{oracle_trainings} and {oracle_wrong:,} would have been best: "
        f"regret {regret:,.0f}, at {price:g} wrong calls a training."
    )


def _policy(name: str | None, price: float | None) -> Policy | None:
    """Return the policy of a name, or refuse a name that is none and a price without a policy."""
    if name is None and price is not None:
        raise ParameterError(
            "A price of a training was given, and no policy.",
            "What trainings cost is said of a policy.",
            "Name one with --policy, for instance --policy schedule.",
        )
    if name is None:
        return None
    if name not in NAMED:
        raise ParameterError(
            f"There is no policy {short(name)!r}.",
            f"There are {', '.join(NAMED)}.",
            "Choose one of them.",
        )
    if price is not None:
        from mlops_course.retraining.oracle import check_price

        check_price(price)
    return NAMED[name]


def _tell_table(done: int, steps: int) -> None:
    if steps and done % max(steps // 4, 1) == 0:
        say(f"table of models for the oracle: {done} of {steps} steps")


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


def _again(state: RunState) -> str:
    """Return how to run the same again."""
    from mlops_course.telling import setting_string

    return f'the same again: mlops-course simulate --settings "{setting_string.of_run(state)}"'


def _narrated(events: Iterator[Event]) -> Iterator[Event]:
    """Pass events on, and tell each of them on stderr."""
    for event in events:
        if line := terminal_line(event):
            say(line)
        yield event
