"""A dashboard for the wall, in plain matplotlib: eight panels, one message each.

`python 07_dashboard.py figures.csv 07_rules.toml dashboard.png` draws a table with a row a day, the
day first, and a column for each panel. A panel's limit is the one that the rules file has for days;
where no rule watches a figure day by day, its panel has none. Copy the file, and change `PANELS`.
"""

import sys
import tomllib
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import DateFormatter

BLUE = "#0072B2"
RED = "#D55E00"
GREY = "#555555"
# title, column, and the rule whose limit is drawn
PANELS = (
    ("Flights announced, to usual", "volume", "flights missing"),
    ("Flights unanswered", "unanswered_share", "flights unanswered"),
    ("Input missing, worst column", "missing_share", "an input is missing"),
    ("Flights called late", "called_late", "hardly any flight called late"),
    ("Flights the model is unsure of", "unsure_share", "the model is unsure"),
    ("Answers with a label", "labelled_share", None),
    ("Burn rate of the budget", "burn_rate", "budget burns in a day"),
    ("Minutes lost, 1,000 flights", "cost_minutes", None),
)
NEED_LABELS = ["burn_rate", "cost_minutes"]
ENOUGH_LABELS = 0.95  # as the rules have it: the labels that come first flatter


def rules_of(path):
    """Return the rules of a file by their names."""
    file = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    return {rule["name"]: rule for rule in file["rule"]}


def shown(figures):
    """Return the figures without those that need labels, on days whose labels are not in."""
    early = figures["labelled_share"].lt(ENOUGH_LABELS)
    left = figures.astype(float)
    left.loc[early, NEED_LABELS] = float("nan")
    return left


def beyond(values, rule):
    """Return on which days a figure is on the wrong side of a rule's limit."""
    return values > rule["above"] if "above" in rule else values < rule["below"]


def counted(figures, rules):
    """Return for each panel its limit, how many days are beyond it, and of how many."""
    left = shown(figures)
    rows = {}
    for title, column, name in PANELS:
        days = left[column].notna().sum()
        if name is None:
            rows[title] = [None, None, days]
            continue
        rule = rules[name]
        limit = rule.get("above", rule.get("below"))
        rows[title] = [limit, beyond(left[column], rule).sum(), days]
    return pd.DataFrame(rows, index=["limit", "beyond", "days"], dtype="object").T


def rounded(value):
    """Return a figure as it is read from afar: 0.95, 12,100."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


def draw_panel(axis, title, values, rule):
    """Draw one figure; the title says how many days are wrong, and a gap is a day unknown."""
    axis.plot(values, color=BLUE, linewidth=3)
    if rule is None:
        last = values.last_valid_index()
        told = "unknown" if last is None else f"{rounded(values[last])} on {last:%d %b}"
        axis.set_title(f"{title}: {told}", fontsize=24)
    else:
        wrong = values[beyond(values, rule)]
        axis.plot(wrong, "o", color=RED, markersize=10)
        draw_limit(axis, rule)
        told = f"{len(wrong)} days wrong" if len(wrong) else "fine"
        axis.set_title(f"{title}: {told}", fontsize=24, color=RED if len(wrong) else "black")
    axis.tick_params(labelsize=16, labelbottom=True)
    axis.xaxis.set_major_formatter(DateFormatter("%d %b"))
    axis.margins(y=0.15)


def draw_limit(axis, rule):
    """Draw a rule's limit, with its value on the line."""
    limit = rule.get("above", rule.get("below"))
    axis.axhline(limit, color=GREY, linestyle="--", linewidth=2)
    axis.annotate(
        f"limit {limit:g}",
        (0.01, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=16,
        color=GREY,
    )


def draw(figures, rules):
    """Draw all panels.

    Parameters
    ----------
    figures
        One row a day, the days as index, and the columns that `PANELS` names.
    rules
        What `rules_of` returns.
    """
    left = shown(figures)
    drawing, axes = plt.subplots(4, 2, figsize=(19, 20), dpi=60, layout="constrained", sharex=True)
    for axis, (title, column, name) in zip(axes.flat, PANELS, strict=True):
        draw_panel(axis, title, left[column], None if name is None else rules[name])
    return drawing


if __name__ == "__main__":
    matplotlib.use("Agg")
    table = pd.read_csv(sys.argv[1], index_col=0, parse_dates=[0])
    draw(table, rules_of(sys.argv[2])).savefig(sys.argv[3])
