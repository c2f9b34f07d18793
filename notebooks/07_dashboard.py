"""A dashboard for the wall, in plain matplotlib: eight panels, one message each.

`python 07_dashboard.py figures.csv dashboard.png` draws a table with a row a day, the day first,
and a column for each panel.
"""

import sys

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import DateFormatter

BLUE = "#0072B2"
RED = "#D55E00"
GREY = "#555555"
# title, column, limit, on which side of it something is wrong
PANELS = (
    ("Flights announced, to usual", "volume", 0.5, "below"),
    ("Flights unanswered", "unanswered_share", 0.01, "above"),
    ("Input missing, worst column", "missing_share", 0.8, "above"),
    ("Flights called late", "called_late", 0.02, "below"),
    ("Flights the model is unsure of", "unsure_share", 0.4, "above"),
    ("Answers with a label", "labelled_share", 0.9, "below"),
    ("Burn rate of the budget", "burn_rate", 4.0, "above"),
    ("Minutes lost, 1,000 flights", "cost_minutes", 9_000.0, "above"),
)


def beyond(values, limit, side):
    """Return on which days a figure is on the wrong side of its limit."""
    return values > limit if side == "above" else values < limit


def draw_panel(axis, title, values, limit, side):
    """Draw one figure; the title says how many days are wrong, and where a gap is."""
    wrong = values[beyond(values, limit, side)]
    state = f"{len(wrong)} days wrong" if len(wrong) else "fine"
    axis.plot(values, color=BLUE, linewidth=3)
    axis.plot(wrong, "o", color=RED, markersize=10)
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
    axis.set_title(f"{title}: {state}", fontsize=24, color=RED if len(wrong) else "black")
    axis.tick_params(labelsize=16)
    axis.xaxis.set_major_formatter(DateFormatter("%d %b"))
    axis.margins(y=0.15)


def draw(figures):
    """Draw all panels.

    Parameters
    ----------
    figures
        One row a day, the days as index, and the columns that `PANELS` names.
    """
    drawing, axes = plt.subplots(4, 2, figsize=(19, 20), dpi=60, layout="constrained")
    for axis, (title, column, limit, side) in zip(axes.flat, PANELS, strict=True):
        draw_panel(axis, title, figures[column].astype(float), limit, side)
    return drawing


if __name__ == "__main__":
    matplotlib.use("Agg")
    draw(pd.read_csv(sys.argv[1], index_col=0, parse_dates=[0])).savefig(sys.argv[2])
