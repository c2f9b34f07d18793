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
tables = {
    name: pd.read_csv(folder / name, dtype=kinds) for name in ("reference.csv", *about["windows"])
}
codes = {}
for name in kinds:
    words = sorted(set().union(*(table[name] for table in tables.values())))
    codes[name] = {word: number for number, word in enumerate(words)}
columns = list(tables["reference.csv"].columns)


def as_matrix(rows):
    encoded = [rows[name].map(codes[name]) if name in kinds else rows[name] for name in columns]
    return np.column_stack(encoded).astype("float64")


sizes = {columns.index(name): len(codes[name]) for name in kinds}
detector = TabularDrift(as_matrix(tables["reference.csv"]), 0.05, categories_per_feature=sizes)
seconds, found = [], {}
for name in about["windows"] + [about["windows"][0]] * turns:
    began = perf_counter()
    told = detector.predict(as_matrix(tables[name]), drift_type="feature")
    seconds.append(perf_counter() - began)
    found[name] = dict(zip(columns, told["data"]["p_val"].astype(float).tolist(), strict=True))
answer = {"version": alibi_detect.__version__, "seconds": seconds[-turns:], "p_values": found}
print(json.dumps(answer))
