"""The simulator's controls: what a person sets before a run, and the buttons that drive one."""

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig

FIRST_CHOICE = ("good", "drift")
WIDE = {"description_width": "initial"}


class Controls:
    """The settings of a run as widgets, and four buttons; `config` reads the settings."""

    first: widgets.ToggleButtons
    others: widgets.Dropdown
    weeks: widgets.IntSlider
    threshold: widgets.FloatSlider
    seed: widgets.BoundedIntText
    real_days: widgets.Checkbox
    retrain: widgets.Checkbox
    settings: tuple[widgets.Widget, ...]
    run: widgets.Button
    pause: widgets.Button
    step: widgets.Button
    reset: widgets.Button

    def __init__(self, config: RunConfig) -> None:
        self._policy = config.retrain if config.retrain != "never" else "auto"
        first = [(SCENARIOS[name].title, name) for name in FIRST_CHOICE]
        known = {SCENARIOS[name].incident.name for name in FIRST_CHOICE}
        others = [(s.title, s.name) for s in SCENARIOS.values() if s.name not in known]
        others = [choice for choice in others if choice[1] not in FIRST_CHOICE]
        self.first = widgets.ToggleButtons(options=first, value=None)
        self.first.style.button_width = "120px"
        self.others = widgets.Dropdown(
            options=[("Other incidents …", ""), *others], value="", layout={"width": "230px"}
        )
        self.weeks = widgets.IntSlider(
            min=1, max=17, value=8, description="Weeks", style=WIDE, layout={"width": "230px"}
        )
        self.threshold = _threshold_slider(config.threshold)
        self.seed = widgets.BoundedIntText(
            value=config.seed or 0,
            min=0,
            max=2**32 - 1,
            description="Seed",
            style=WIDE,
            layout={"width": "110px"},
        )
        self.real_days = widgets.Checkbox(
            value=config.seed is None,
            description="Days as they were",
            indent=False,
            layout={"width": "auto"},
        )
        self.retrain = widgets.Checkbox(
            value=config.retrain != "never",
            description="Retrain automatically",
            indent=False,
            layout={"width": "auto"},
        )
        self.run = _button("Run pipeline", "play", width="140px", button_style="primary")
        self.pause = _button("Pause", "pause")
        self.step = _button("Step", "step-forward")
        self.reset = _button("Reset", "undo")
        self.settings = (
            self.first,
            self.others,
            self.weeks,
            self.threshold,
            self.seed,
            self.real_days,
            self.retrain,
        )
        self.first.observe(self._chose_first, "value")
        self.others.observe(self._chose_other, "value")
        self.real_days.observe(self._chose_days, "value")
        self.seed.disabled = self.real_days.value
        self.choose(config.scenario)
        self.weeks.value = config.planned_weeks

    @property
    def scenario(self) -> str:
        """The name of the chosen scenario."""
        return self.first.value or self.others.value

    @property
    def config(self) -> RunConfig:
        """What the controls say, as the pipeline takes it."""
        return RunConfig(
            scenario=self.scenario,
            weeks=self.weeks.value,
            seed=None if self.real_days.value else self.seed.value,
            threshold=round(self.threshold.value, 4),
            retrain=self._policy if self.retrain.value else "never",
        )

    def choose(self, scenario: str) -> None:
        """Choose a scenario by name; ``none`` and ``clock`` are *good* and *drift*."""
        incident = SCENARIOS[scenario].incident.name
        same = [n for n in FIRST_CHOICE if scenario in (n, SCENARIOS[n].incident.name)]
        if same and incident in ("none", "clock"):
            self.first.value = same[0]
        else:
            self.others.value = scenario

    def box(self, below: widgets.Widget) -> widgets.VBox:
        """Return everything in its place, with the picture below the controls."""
        rows = (
            [self.first, self.others, self.seed, self.real_days],
            [self.weeks, self.threshold, self.retrain],
            [self.run, self.pause, self.step, self.reset],
        )
        controls = widgets.VBox([widgets.HBox(row) for row in rows])
        controls.add_class("mls-controls")
        return widgets.VBox([controls, below])

    def follow(self, status: str) -> None:
        """Enable what makes sense now."""
        busy = status in ("running", "paused")
        for control in self.settings:
            control.disabled = busy
        self.seed.disabled = busy or self.real_days.value
        self.run.disabled = status == "running"
        self.run.description = "Continue" if status == "paused" else "Run pipeline"
        self.pause.disabled = status != "running"
        self.step.disabled = status == "running"
        self.reset.disabled = status == "idle"

    def _chose_first(self, change: Mapping[str, Any]) -> None:
        if change["new"]:
            self._fit_weeks(change["new"])
            self.others.value = ""

    def _chose_other(self, change: Mapping[str, Any]) -> None:
        if change["new"]:
            self.first.value = None
            self._fit_weeks(change["new"])
        elif not self.first.value:
            self.first.value = FIRST_CHOICE[0]

    def _chose_days(self, change: Mapping[str, Any]) -> None:
        """Let the seed rest where nothing is drawn."""
        self.seed.disabled = change["new"]

    def _fit_weeks(self, name: str) -> None:
        """Keep the settings valid at every moment: whoever watches one reads them all."""
        scenario = SCENARIOS[name]
        usual = self.weeks.max != scenario.max_weeks
        self.weeks.max = scenario.max_weeks
        if usual:
            self.weeks.value = scenario.default_weeks


def _threshold_slider(value: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        min=min(0.80, value),
        max=max(0.99, value),
        step=0.01,
        value=value,
        readout_format=".0%",
        description="Alert below",
        style=WIDE,
        layout={"width": "250px"},
    )


def _button(text: str, icon: str, width: str = "100px", **style: str) -> widgets.Button:
    return widgets.Button(description=text, icon=icon, layout={"width": width}, **style)
