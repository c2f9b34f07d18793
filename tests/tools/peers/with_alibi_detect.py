"""The tabular drift of alibi-detect, run in an environment of its own: p-values and seconds."""

import json
import sys
from pathlib import Path
from time import perf_counter

import alibi_detect
import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift

folder, turns = Path(sys.argv[1]), int(sys.argv[2])
about = json.loads((folder / "about.json").read_text())
kinds = {name: "str" for name in about["categories"]}
reference = pd.read_csv(folder / "reference.csv", dtype=kinds)
columns = list(reference.columns)


def prepared(window):
    """Make a detector; it takes no category that neither side has, so each window has its own."""
    codes = {}
    for name in kinds:
        words = sorted({*reference[name], *window[name]})
        codes[name] = {word: number for number, word in enumerate(words)}
    sizes = {columns.index(name): len(codes[name]) for name in kinds}
    return TabularDrift(as_matrix(reference, codes), 0.05, categories_per_feature=sizes), codes


def as_matrix(rows, codes):
    encoded = [rows[name].map(codes[name]) if name in kinds else rows[name] for name in columns]
    return np.column_stack(encoded).astype("float64")


seconds, found = [], {}
for name in about["windows"] + [about["windows"][0]] * turns:
    window = pd.read_csv(folder / name, dtype=kinds)
    detector, codes = prepared(window)
    began = perf_counter()
    told = detector.predict(as_matrix(window, codes), drift_type="feature")
    seconds.append(perf_counter() - began)
    found[name] = dict(zip(columns, told["data"]["p_val"].astype(float).tolist(), strict=True))
answer = {"version": alibi_detect.__version__, "seconds": seconds[-turns:], "p_values": found}
print(json.dumps(answer))
