"""Evidently's report, run in an environment of its own: p-values by window, and seconds."""

import json
import sys
from pathlib import Path
from time import perf_counter

import evidently
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

folder, turns = Path(sys.argv[1]), int(sys.argv[2])
about = json.loads((folder / "about.json").read_text())
kinds = {name: "str" for name in about["categories"]}
reference = pd.read_csv(folder / "reference.csv", dtype=kinds)
numbers = [name for name in reference.columns if name not in kinds]
definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(kinds))
before = Dataset.from_pandas(reference, data_definition=definition)
preset = {"num_method": "ks", "cat_method": "chisquare"}
seconds, found = [], {}
for name in about["windows"] + [about["windows"][0]] * turns:
    window = pd.read_csv(folder / name, dtype=kinds)
    began = perf_counter()
    after = Dataset.from_pandas(window, data_definition=definition)
    told = Report([DataDriftPreset(**preset)]).run(after, before).dict()
    seconds.append(perf_counter() - began)
    found[name] = {
        one["config"]["column"]: float(one["value"])
        for one in told["metrics"]
        if "column" in one.get("config", {})
    }
answer = {"version": evidently.__version__, "seconds": seconds[-turns:], "p_values": found}
print(json.dumps(answer))
