"""The panel of a stage: what it is for, what can go wrong, its figures in this run, its code.

What a button does is the page's (`panel.js`): it shows a button only where it can be kept. Whatever
leads into MLflow carries the way there, `data-mlflow`, and is plain text until the page makes it a
link.
"""

from collections.abc import Iterator, Mapping
from math import isnan
from urllib.parse import quote

from mlops_course.drawing.markup import Markup, element, join, term
from mlops_course.picture.views import quiet
from mlops_course.pipeline.events import STAGES
from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig
from mlops_course.pipeline.state import RunState, StageRecord
from mlops_course.telling import gate_words, wording
from mlops_course.telling.content import Risk, meanings, stage_texts

# The figures of a stage that name something in MLflow; they are shown as artefacts.
_IN_MLFLOW = ("MLflow run", "model", "version", "run")


# ---- the same for every run


def about(stage: str) -> Markup:
    """Return the part of a stage's panel that is the same for every run."""
    text = stage_texts()[stage]
    tools = [element("li", tool) for tool in text.tools]
    known = element(
        "div",
        element("h4", "Tools"),
        element("ul", *tools, class_="mls-tools"),
        element("h4", "What can go wrong"),
        element("ul", *map(_risk, text.risks), class_="mls-risks"),
        _said(),
    )
    measured = element("div", element("h4", "In this run"), element("div", data_slot="figures"))
    return join(
        element("h3", wording.stage_title(stage)),
        element("p", text.purpose, class_="mls-purpose"),
        element("div", known, measured, class_="mls-columns"),
        _by_hand(stage),
    )


def _risk(risk: Risk) -> Markup:
    if not risk.show:
        return element("li", risk.words)
    button = element(
        "button",
        f"Show me: {_called(risk.show)}",
        type="button",
        class_="mls-show",
        data_show=risk.show,
        data_look=risk.look,
        title=f"Sets {risk.show}, and runs it",
    )
    shown = element("div", button, quiet(risk.look), class_="mls-shown")
    return element("li", risk.words, shown)


def _called(line: str) -> str:
    """Return what a run's settings are called: its scenario, and an alert line that is unusual."""
    scenario, *words = line.split()
    alert = dict(word.split("=") for word in words)["alert"]
    usual = alert == f"{RunConfig().threshold:.0%}"
    return SCENARIOS[scenario].title + ("" if usual else f", alert below {alert}")


def code_of(stage: str) -> str:
    """Return a stage's code by hand, below a line that says which of the seven it is."""
    number = STAGES.index(stage) + 1
    title = wording.stage_title(stage)
    return f"# By hand, {number} of {len(STAGES)}: {title}\n{stage_texts()[stage].code}"


def _by_hand(stage: str) -> Markup:
    before = [wording.stage_title(earlier) for earlier in STAGES[: STAGES.index(stage)]]
    order = (
        f"Run the code of {_listed(before)} first, in this order."
        if before
        else "It needs nothing before it."
    )
    code = element("pre", code_of(stage), class_="mls-code", tabindex=0)
    copy = element("button", "Copy", type="button", class_="mls-copy", data_copy="code")
    insert = element("button", "Insert below", type="button", class_="mls-insert", hidden="")
    actions = element("p", copy, insert, _said(), class_="mls-actions")
    whole = join(element("h4", "The code by hand"), quiet(order), code, actions)
    return element("div", whole, class_="mls-by-hand", data_number=STAGES.index(stage) + 1)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _said() -> Markup:
    """Return where the page says what a button has done."""
    return element("span", class_="mls-said", role="status")


# ---- this very run


def figures(state: RunState, stage: str) -> Markup:
    """Return what a stage did in this very run, earlier cycles folded below the latest."""
    records = [record for record in state.records if record.stage == stage]
    if not records:
        return quiet("Not reached yet.")
    *earlier, latest = records
    shown = quiet(f"cycle {latest.cycle}") if earlier else ""
    folded = [_folded(state, record) for record in reversed(earlier)]
    return join(shown, _record(state, latest), *folded)


def _folded(state: RunState, record: StageRecord) -> Markup:
    cycle = record.cycle
    summary = element("summary", f"cycle {cycle}")
    return element("details", summary, _record(state, record), data_key=f"cycle-{cycle}")


def _record(state: RunState, record: StageRecord) -> Markup:
    first = gate_words.verdict(record) if record.stage == "gate" else ""
    verdict = element("p", first, class_="mls-verdict") if first else ""
    wrong = element("p", record.message, class_="mls-wrong") if record.message else ""
    kept = [element("li", *parts) for parts in _artefacts(state, record)]
    artefacts = element("ul", *kept, class_="mls-artefacts") if kept else ""
    head = element("h5", "Artefacts in MLflow") if kept else ""
    took = {"seconds": f"{record.seconds:.2f}"} if record.state != "running" else {}
    table = _table(record, {"state": record.state, **took, **_figures(record)})
    return join(verdict, wrong, head, artefacts, table, _checks(record))


def _figures(record: StageRecord) -> dict[str, float | int | str]:
    if record.stage == "gate":
        return {}
    return {name: value for name, value in record.metrics.items() if name not in _IN_MLFLOW}


def _checks(record: StageRecord) -> Markup:
    """Return all that the gate has looked at, folded."""
    checks = dict(gate_words.lines(record)) if record.stage == "gate" else {}
    if not checks:
        return Markup("")
    summary = element("summary", f"all {wording.counted(len(checks), 'check')}")
    table = _table(record, checks)
    return element("details", summary, table, data_key=f"checks-{record.cycle}")


def _table(record: StageRecord, values: Mapping[str, float | int | str]) -> Markup:
    rows = [
        element(
            "tr",
            element("th", _explained(name, record), scope="row"),
            element("td", _figure(value)),
        )
        for name, value in values.items()
    ]
    return element("table", *rows, class_="mls-figures")


def _explained(name: str, record: StageRecord) -> str:
    shown = name.replace("_", " ")
    if shown not in meanings():
        return shown
    return term(shown, meanings()[shown], f"{record.stage}-{record.cycle}-{shown}")


def _figure(value: float | int | str) -> str:
    if isinstance(value, float):
        if isnan(value):
            return wording.UNKNOWN
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---- what MLflow keeps of it


def _artefacts(state: RunState, record: StageRecord) -> Iterator[tuple[str, ...]]:
    """Yield what a stage has left in MLflow: a link, and what is to be found there."""
    made = record.metrics
    if record.stage in ("data", "monitor") and record.cycle == 1 and state.started:
        kept = "settings" if record.stage == "data" else "each week's figures"
        yield _run_link(state.started.run_id), f": the whole run, with its {kept}"
    if record.stage == "train" and "MLflow run" in made:
        yield _run_link(str(made["MLflow run"])), ": this training, with its figures and model"
    trained = _training_run(state, record.cycle)
    if record.stage == "gate" and record.state == "done" and trained:
        yield _run_link(trained), ": the training that was judged; it keeps the verdict"
    model = _model_name(state)
    if record.stage in ("register", "deploy") and "version" in made and model:
        version = str(made["version"])
        way = f"#/models/{quote(model, safe='')}/versions/{quote(version, safe='')}"
        yield _link(f"version {version} of {model}", way), ": the model, and the run it came from"


def _training_run(state: RunState, cycle: int) -> str:
    """Return the MLflow run of a cycle's training; empty if there is none."""
    trained = [one for one in state.records if one.stage == "train" and one.cycle == cycle]
    return str(trained[-1].metrics.get("MLflow run", "")) if trained else ""


def _model_name(state: RunState) -> str:
    named = [str(one.metrics["model"]) for one in state.records if "model" in one.metrics]
    return named[-1] if named else ""


def _run_link(run_id: str) -> Markup:
    return _link(f"run {run_id}", f"#/runs/{quote(run_id, safe='')}")


def _link(words: str, way: str) -> Markup:
    """Return a link that leads nowhere yet: the page knows where MLflow is, if anywhere."""
    return element("a", words, class_="mls-kept", data_mlflow=way)


# ---- the same run again


def again(line: str, version: str, policy: str) -> Markup:
    """Return how to get this run again.

    Parameters
    ----------
    line
        The run's settings; empty if a line cannot hold them.
    version
        The version of mlops-course.
    policy
        What decided, where a line cannot say it.
    """
    head = element("h4", "The same run again")
    if not line:
        return join(head, quiet(f"A line of settings cannot hold what decided here: {policy}."))
    copy = element("button", "Copy", type="button", class_="mls-copy", data_copy="line")
    shown = element("p", element("code", line, class_="mls-line"), copy, _said())
    return join(
        head,
        element("div", shown, class_="mls-again"),
        quiet(
            f"The same settings give the same figures with mlops-course {version}; seconds and ids "
            f'differ. In a notebook: PipelineSimulator.from_settings("…"). In a terminal: '
            f'mlops-course simulate --settings "…".'
        ),
    )
