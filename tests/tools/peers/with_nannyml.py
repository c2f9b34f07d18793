"""NannyML's univariate drift, run in an environment of its own: statistics and seconds."""

import json
import sys
from pathlib import Path
from time import perf_counter

import nannyml
import pandas as pd

folder, turns = Path(sys.argv[1]), int(sys.argv[2])
about = json.loads((folder / "about.json").read_text())
kinds = {name: "str" for name in about["categories"]}
reference = pd.read_csv(folder / "reference.csv", dtype=kinds)
calculator = nannyml.UnivariateDriftCalculator(
    column_names=list(reference.columns),
    treat_as_categorical=list(kinds),
    continuous_methods=["kolmogorov_smirnov"],
    categorical_methods=["chi2"],
    chunk_number=1,
)
calculator.fit(reference)
seconds, found = [], {}
for name in about["windows"] + [about["windows"][0]] * turns:
    window = pd.read_csv(folder / name, dtype=kinds)
    began = perf_counter()
    told = calculator.calculate(window).filter(period="analysis").to_df()
    seconds.append(perf_counter() - began)
    found[name] = {
        column: float(
            told[column, "chi2" if column in kinds else "kolmogorov_smirnov", "value"].iloc[0]
        )
        for column in reference.columns
    }
answer = {"version": nannyml.__version__, "seconds": seconds[-turns:], "statistics": found}
print(json.dumps(answer))
