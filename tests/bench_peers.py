"""Compare the drift report with other packages: `mlops-course bench --peers`.

Each is installed by pip into an environment of its own in a temporary folder, which takes a minute
or two and a gigabyte or two; one that does not install, or takes too long, is left out with the
reason. All are given the same rows: 80,000 as reference, 6,000 of a September week as window, in 14
columns without a missing value, since not all of them take any. The verdict of each on each column
is that of Kolmogorov and Smirnov or of chi-squared at the same threshold. Nothing here passes or
fails.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd
from bench import Line, table, tell
from scipy import stats

from mlops_course.core.workspace import open_workspace
from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.data.flights import load_flights

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from drift_speed import by_hand, milliseconds, prepared, textbook_report, verdict

PEERS = Path(__file__).parent / "tools" / "peers"
REFERENCE_ROWS, WEEK_ROWS, SMALL_ROWS = 80_000, 6_000, 500
SMALL_WINDOWS = 12
TURNS = 5
THRESHOLD = 0.05
INSTALLING, RUNNING = 900, 600  # seconds at most


@dataclass(frozen=True)
class Peer:
    """Another package: what pip installs for it, and the script that runs it.

    They do not know pandas 3 yet, and NannyML does not declare all that it imports.
    """

    name: str
    packages: tuple[str, ...]
    script: str


OTHERS = (
    Peer("Evidently", ("evidently", "pandas<3"), "with_evidently.py"),
    Peer("NannyML", ("nannyml", "statsmodels", "pandas<3"), "with_nannyml.py"),
    Peer("alibi-detect", ("alibi-detect", "pandas<3"), "with_alibi_detect.py"),
)


class Skipped(Exception):
    """A package that is left out; the text says why."""


def main() -> None:
    """Measure, compare and print the table."""
    with tempfile.TemporaryDirectory(prefix="mlops-peers-", ignore_cleanup_errors=True) as place:
        flights = load_flights(open_workspace(Path(place) / "workspace"))
        reference, windows = drawn(flights)
        write(Path(place), reference, windows)
        lines = list(ours(reference, windows))
        whole, _ = prepared(reference)
        for peer in OTHERS:
            tell(f"{peer.name}, in an environment of its own")
            try:
                answer = asked(peer, Path(place))
            except Skipped as why:
                print(f"{peer.name} is left out: {why}", file=sys.stderr)
                continue
            mine = milliseconds(lambda: textbook_report(whole, windows["week.csv"]))
            lines += theirs(peer, answer, reference, windows, mine)
    print(table(lines))


def drawn(flights: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the reference and the windows: a week, and small ones in which verdicts differ."""
    complete = flights.dropna(subset=list(FEATURES))
    reference = complete.head(REFERENCE_ROWS)
    week = complete[complete["date"] >= "2013-09-02"].head(WEEK_ROWS)
    windows = {"week.csv": week}
    for number in range(SMALL_WINDOWS):
        rows = reference if number % 2 == 0 else week
        windows[f"small_{number}.csv"] = rows.sample(SMALL_ROWS, random_state=number)
    return reference, windows


def write(place: Path, reference: pd.DataFrame, windows: Mapping[str, pd.DataFrame]) -> None:
    """Write what the other environments read."""
    for name, rows in {"reference.csv": reference, **windows}.items():
        rows[list(FEATURES)].to_csv(place / name, index=False)
    about = {"windows": list(windows), "categories": list(CATEGORICAL)}
    (place / "about.json").write_text(json.dumps(about), encoding="utf-8")


def ours(reference: pd.DataFrame, windows: Mapping[str, pd.DataFrame]) -> Iterator[Line]:
    """How long the package takes, and scipy by hand, in this very process."""
    tell("the package's own report")
    week = windows["week.csv"]
    whole, weeks = prepared(reference)
    report = milliseconds(lambda: textbook_report(whole, week))
    judging = milliseconds(lambda: verdict(weeks, week))
    small = milliseconds(lambda: verdict(weeks, windows["small_1.csv"]))
    scored = len(weeks.weeks) + 1
    tell("scipy by hand")
    plain = milliseconds(lambda: by_hand(reference, week), TURNS)
    yield Line("this package: a report with p-values", report, "ms", 15)
    yield Line(f"this package: the verdict, {scored} weeks scored", judging, "ms", 60)
    yield Line(f"this package: the verdict on {SMALL_ROWS} rows", small, "ms", 60)
    yield Line("scipy by hand: a report", plain, "ms", note=f"{plain / report:.0f} times as long")
    found = {name: by_hand(reference, rows) for name, rows in windows.items()}
    yield agreement("scipy by hand", found, reference, windows)


def theirs(
    peer: Peer,
    answer: Mapping,
    reference: pd.DataFrame,
    windows: Mapping[str, pd.DataFrame],
    mine: float,
) -> Iterator[Line]:
    """How long a peer takes, and how often its verdict is that of this package.

    The package itself is measured again just after, since the machine may have become busy.
    """
    taken = 1_000 * median(answer["seconds"])
    name = f"{peer.name} {answer['version']}"
    note = f"{taken / mine:.0f} times as long as the {mine:.3g} ms just after"
    yield Line(f"{name}: a report", taken, "ms", note=note)
    found = answer.get("p_values") or {
        window: p_values_of(statistics, reference, windows[window])
        for window, statistics in answer["statistics"].items()
    }
    yield agreement(name, found, reference, windows)


def p_values_of(
    found: Mapping[str, float], reference: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, float]:
    """Return the p-values of a peer that gives statistics: its own threshold is another one."""
    before = len(reference)
    effective = round(before * len(rows) / (before + len(rows)))
    p_values = {}
    for name, statistic in found.items():
        if name in CATEGORICAL:
            categories = len({*reference[name], *rows[name]})
            p_values[name] = float(stats.chi2.sf(statistic, categories - 1))
        else:
            p_values[name] = float(stats.kstwo.sf(statistic, effective))
    return p_values


def agreement(
    name: str,
    found: Mapping[str, Mapping[str, float]],
    reference: pd.DataFrame,
    windows: Mapping[str, pd.DataFrame],
) -> Line:
    """Count on how many columns of all windows the verdict at the threshold is the same."""
    whole, _ = prepared(reference)
    same = 0
    of = 0
    differ = set()
    for window, p_values in found.items():
        mine = textbook_report(whole, windows[window])
        for column, p_value in p_values.items():
            agrees = (p_value < THRESHOLD) == (mine[column] < THRESHOLD)
            same += agrees
            of += 1
            if not agrees:
                differ.add(column)
    note = f"of {of} columns" + (f"; not always {', '.join(sorted(differ))}" if differ else "")
    return Line(f"{name}: the same verdict", 100 * same / of, "%", note=note)


def asked(peer: Peer, place: Path) -> Mapping:
    """Install a peer and return what its script answers."""
    folder = place / peer.script.removesuffix(".py")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done([sys.executable, "-m", "venv", str(folder)], INSTALLING)
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--prefer-binary")
    done([str(python), "-m", "pip", "install", *quiet, *peer.packages], INSTALLING)
    script = [str(python), "-W", "ignore", str(PEERS / peer.script), str(place), str(TURNS)]
    told = done(script, RUNNING)
    return json.loads(told.strip().splitlines()[-1])


def done(command: list[str], seconds: int) -> str:
    """Run a command to its end and return what it printed; raise `Skipped` with the reason."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"it took more than {seconds} s") from error
    if found.returncode:
        lines = found.stderr.strip().splitlines() or ["it failed without a word"]
        raise Skipped(lines[-1][:300])
    return found.stdout


if __name__ == "__main__":
    main()
