"""Count how often each stated bound keeps its promise: `mlops-course bench --statistics`.

Nothing here passes or fails. Every line says what was counted, how often, and what was promised; a
small version of each is a test. The error behind a share counts independent turns; where turns
share flights, such as stretches of the one real year that overlap, it counts blocks of them.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_course.alerting.alerts import ACCURACY_RULE
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.monitoring.performance import measure
from mlops_course.pipeline.loop import run_pipeline
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, alerted_weeks, fold, outcome
from mlops_course.registry.exams import level_for
from mlops_course.release.comparison import MARGIN, compare
from mlops_course.release.gate import CANDIDATES
from mlops_course.serving.replay import numbered
from mlops_course.serving.service import Service
from mlops_course.stats.clustered import (
    CONFIDENCE,
    cluster_sums,
    mean_bounds,
    ratio_bounds,
    resample_clusters,
    sign_flips,
)
from mlops_course.stats.confidence_sequences import Arm, between, paired
from mlops_course.training.model import called_late

sys.path.insert(0, str(Path(__file__).parent / "tools"))
import bench_drift
import bench_rules
import bench_slices
from counting import (
    CHAMPION,
    Count,
    RealYear,
    blocks_of,
    other_weeks,
    real_year,
    together,
    windows,
)
from drift_counts import drifting

SEEDS = range(20)
MADE_UP_WEEKS = 5_000
REDRAWN_WEEKS = 1_000
RESAMPLES = 199
TRUTH = 0.9
SHUFFLES = 5
SWAPS = 15
LOSERS = 300
LOSS_OF_DAYS = 0.01
CANARIES = 500
WEEK_DAYS = 7
SHADOW_DAYS = 8 * WEEK_DAYS
EXAM = ("2013-03-18", "2013-03-31")
APRIL = "2013-04-01"
ABORT_ALPHA = 0.01


def main() -> None:
    """Count everything and print the table, line by line as it comes."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="mlops-bench-", ignore_cleanup_errors=True) as place:
        workspace = open_workspace(Path(place) / "workspace")
        year = real_year(workspace)
        sections = {
            "Bounds by day": made_up_weeks(),
            "The alert": real_weeks(year),
            "The gate": gate(year),
            "The shadow": shadow(year),
            "The canary": canary(year),
            "Drift": drifting(year.everything),
            **bench_drift.sections(year),
            **bench_slices.sections(year),
            **bench_rules.sections(year.everything),
            "The loop, 20 seeds": seeds(workspace),
        }
        for title, counts in sections.items():
            print(f"\n{title}", flush=True)
            for count in counts:
                print(count.row(), flush=True)


# ---- accuracy by day


def made_up_weeks() -> Iterator[Count]:
    """Bounds, bootstrap and sign flips by day, where each made-up day has a level of its own."""
    generator = np.random.default_rng(0)
    for days in (WEEK_DAYS, 2 * WEEK_DAYS):
        found = [made_up_days(generator, days) for _ in range(MADE_UP_WEEKS)]
        by_day, by_row = np.sum(found, axis=0)
        name = f"made up, {days} days: upper bound covers"
        yield Count(f"{name}, by day", by_day, MADE_UP_WEEKS, "95%")
        yield Count(f"{name}, by flight", by_row, MADE_UP_WEEKS, "95%, broken")
        found = [drawn_again(generator, days) for _ in range(REDRAWN_WEEKS)]
        bootstrap, flips = np.sum(found, axis=0)
        name = f"made up, {days} days:"
        yield Count(f"{name} 95% of a bootstrap by day covers", bootstrap, REDRAWN_WEEKS, "")
        yield Count(f"{name} sign flips call it a loss", flips, REDRAWN_WEEKS, "at most 5%")


def made_up_days(generator: np.random.Generator, days: int) -> tuple[bool, bool]:
    """Return whether the upper bounds by day and by row lie above the truth, once."""
    right, day = made_up_calls(generator, days)
    accuracy = right.mean()
    by_row = accuracy + 1.645 * sqrt(accuracy * (1 - accuracy) / len(right))
    return mean_bounds(right, day).high >= TRUTH, by_row >= TRUTH


def drawn_again(generator: np.random.Generator, days: int) -> tuple[bool, bool]:
    """Return whether a bootstrap's bound covers the truth, and whether sign flips see a loss."""
    right, day = made_up_calls(generator, days)
    means = [right[resample_clusters(day, generator)].mean() for _ in range(RESAMPLES)]
    lost = TRUTH - right
    flipped = sign_flips(lost, day, RESAMPLES, generator)
    reached = (1 + np.sum(flipped >= lost.mean())) / (1 + RESAMPLES)
    return np.quantile(means, CONFIDENCE) >= TRUTH, reached <= 1 - CONFIDENCE


def made_up_calls(generator: np.random.Generator, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each call whether it was right, and its day."""
    sizes = generator.integers(700, 1_000, days)
    levels = np.clip(TRUTH + generator.normal(0, 0.03, days), 0, 1)
    right = (generator.random(sizes.sum()) < np.repeat(levels, sizes)).astype(float)
    return right, np.repeat(np.arange(days), sizes)


def real_weeks(year: RealYear) -> Iterator[Count]:
    """The accuracy's bound on each seven days in a row of the real year, from April on."""
    scored = year.flights.assign(probability=year.probability[CHAMPION], right=year.right(CHAMPION))
    scored = scored[scored["date"] >= APRIL]
    groups = [group for _, group in scored.groupby("date")]
    sums = scored.groupby("date")["right"].agg(["sum", "count"])
    qualities = [measure(pd.concat(groups[n : n + WEEK_DAYS])) for n in range(len(groups) - 6)]
    upper = np.array([quality.upper for quality in qualities])
    rows = np.array([quality.labelled for quality in qualities])
    accuracy = np.array([quality.accuracy for quality in qualities])
    by_row = accuracy + 1.645 * np.sqrt(accuracy * (1 - accuracy) / rows)
    first = [group["date"].iloc[0] for group in groups[: len(upper)]]
    block = blocks_of(np.array(first, dtype="datetime64[D]"))
    right = sums["sum"].to_numpy()
    size = sums["count"].to_numpy()
    by_day = np.array([upper_by_day(right, size, n) for n in range(len(upper))])
    for around in (1, 2, 3):
        level = other_weeks(right, size, WEEK_DAYS, around)
        name = f"any 7 days, level of the {2 * around} weeks beside"
        yield together(f"{name}: upper bound covers", upper >= level, block, "as shuffled")
        yield together(f"{name}: by day alone", by_day >= level, block, "broken")
        yield together(f"{name}: by flight", by_row >= level, block, "broken")
        yield shuffled(right, size, around, f"{name}: by day alone, days shuffled")
        low = upper < level - 0.005
        yield together(f"{name}: alarm at a true 90.5%", low, block, "at most 5%")
    calendar = slice(None, None, WEEK_DAYS)
    weeks = len(upper[calendar])
    yield Count("calendar weeks that alarm at 90%", (upper[calendar] < 0.9).sum(), weeks, "")
    yield Count("... by flight", (by_row[calendar] < 0.9).sum(), weeks, "")


def upper_by_day(right: np.ndarray, size: np.ndarray, first: int) -> float:
    """Return the upper bound of a week that counts days and nothing else."""
    week = slice(first, first + WEEK_DAYS)
    return ratio_bounds(right[week], size[week], np.arange(WEEK_DAYS)).high


def shuffled(right: np.ndarray, size: np.ndarray, around: int, what: str) -> Count:
    """Count how often the bound by day covers where days are exchangeable: the most it can do."""
    generator = np.random.default_rng(0)
    covered = []
    turn = []
    for number in range(SHUFFLES):
        order = generator.permutation(len(size))
        level = other_weeks(right[order], size[order], WEEK_DAYS, around)
        upper = [upper_by_day(right[order], size[order], n) for n in range(len(level))]
        covered.extend(np.array(upper) >= level)
        turn.extend([number] * len(level))
    return together(what, np.array(covered), np.array(turn), "95%")


# ---- gate, shadow, canary


def gate(year: RealYear) -> Iterator[Count]:
    """The gate's own verdict on candidates as good as the champion, and on some that are not."""
    generator = np.random.default_rng(0)
    level = level_for(CANDIDATES)
    days = pd.DatetimeIndex(sorted(year.flights["date"].unique()))
    exams = list(windows(days, 2 * WEEK_DAYS, 2 * WEEK_DAYS))
    for name, probability in year.probability.items():
        if name == CHAMPION:
            continue
        blocked = []
        number = []
        for exam, (first, last) in enumerate(exams):
            inside = year.between(first, last)
            flights = year.flights[inside]
            champion = year.probability[CHAMPION][inside]
            for _ in range(SWAPS):
                one, two = swapped(flights, probability[inside], champion, generator)
                blocked.append(not compare(flights, one, two, confidence=level).passed)
                number.append(exam)
        what = f"as good as the champion ({name}), blocked, {len(exams)} fortnights"
        yield together(what, np.array(blocked), np.array(number), "at most 6%")
    yield from margin_lost(year, level, generator)
    right = {name: year.right(name) for name in year.probability}
    for length in (WEEK_DAYS, 2 * WEEK_DAYS):
        low, high, block = covered(year, right, days, length)
        name = f"two models, any {length} days, level of the 2 such stretches beside"
        yield together(f"{name}: lower", low, block, "91%: the level has luck, too")
        yield together(f"{name}: upper", high, block, "91%")


def margin_lost(year: RealYear, level: float, generator: np.random.Generator) -> Iterator[Count]:
    """A candidate that loses the margin on average, on some days more and on some less."""
    inside = year.between(*EXAM)
    exam = year.flights[inside]
    champion = year.probability[CHAMPION][inside]
    passed = 0
    for _ in range(LOSERS):
        worse = losing(exam, champion, MARGIN / 100, generator)
        checks = compare(exam, worse, champion, confidence=level).checks
        passed += next(check.passed for check in checks if check.name == "not worse overall")
    yield Count(f"loses {MARGIN:g} point, not stopped overall", passed, LOSERS, "at most 1%")


def swapped(
    exam: pd.DataFrame, one: np.ndarray, two: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Let two models change places on days chosen by lot: then neither is the better one."""
    day = np.unique(exam["date"].to_numpy(), return_inverse=True)[1]
    turned = (generator.random(day.max() + 1) < 0.5)[day]
    return np.where(turned, two, one), np.where(turned, one, two)


def losing(
    exam: pd.DataFrame, champion: np.ndarray, loss: float, generator: np.random.Generator
) -> np.ndarray:
    """Turn calls of the champion by lot so that on average just so much accuracy is lost.

    Each day has a loss of its own, which may be a gain.
    """
    late = exam["late"].to_numpy() == 1
    right = called_late(champion) == late
    day = np.unique(exam["date"].to_numpy(), return_inverse=True)[1]
    lost = (loss + generator.normal(0, LOSS_OF_DAYS, day.max() + 1))[day]
    lot = generator.random(len(late))
    turned = np.where(
        right,
        lot < np.maximum(lost, 0) / right.mean(),
        lot < np.maximum(-lost, 0) / (~right).mean(),
    )
    return np.where(turned, 1 - champion, champion)


def covered(
    year: RealYear, right: dict[str, np.ndarray], days: pd.DatetimeIndex, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether each bound of a paired difference covers the level beside, and the block."""
    low = []
    high = []
    block = []
    day = year.flights["date"].to_numpy()
    sizes = cluster_sums(np.ones(len(day)), day)
    for name, mine in right.items():
        if name == CHAMPION:
            continue
        sums = cluster_sums(mine - right[CHAMPION], day)
        for first, level in enumerate(other_weeks(sums, sizes, length, around=1)):
            part = slice(first, first + length)
            found = ratio_bounds(sums[part], sizes[part], np.arange(length))
            low.append(found.low <= level)
            high.append(found.high >= level)
            block.append(blocks_of(days.to_numpy())[first])
    return np.array(low), np.array(high), np.array(block)


def shadow(year: RealYear) -> Iterator[Count]:
    """A shadow of eight weeks with weekly looks, begun on any day; 0 is the truth."""
    later = year.flights["date"].to_numpy() >= np.datetime64(APRIL)
    day = year.flights["date"].to_numpy()[later]
    days = pd.DatetimeIndex(sorted(set(day)))
    for name in year.probability:
        if name == CHAMPION:
            continue
        gained = (year.right(name) - year.right(CHAMPION))[later]
        gained = gained - gained.mean()
        wrong = []
        for first, last in windows(days, SHADOW_DAYS, 4):
            inside = (day >= np.datetime64(first)) & (day <= np.datetime64(last))
            wrong.append(shadow_misled(gained[inside], day[inside]))
        # As many turns as there are stretches that do not overlap; none seen is not none at all.
        apart = len(days) / SHADOW_DAYS
        share = max(np.mean(wrong), 1 / len(wrong))
        what = f"neither better nor worse ({name}), a verdict at any look, of {apart:.0f} stretches"
        error = sqrt(share * (1 - share) / apart)
        yield Count(what, sum(wrong), len(wrong), "10%", error)


def shadow_misled(gained: np.ndarray, day: np.ndarray) -> bool:
    """Return whether either bound of a shadow excludes 0 at any of its weekly looks."""
    days = np.unique(day)
    for week in range(1, len(days) // WEEK_DAYS + 1):
        seen = day <= days[week * WEEK_DAYS - 1]
        found = paired(gained[seen], day[seen])
        if found.low > 0 or found.high < 0:
            return True
    return False


def canary(year: RealYear) -> Iterator[Count]:
    """Canaries of a real week in requests of ten, both sides the champion, five looks a day."""
    generator = np.random.default_rng(0)
    flights = year.flights.assign(called=called_late(year.probability[CHAMPION]).astype(float))
    flights = flights.assign(wrong=1 - year.right(CHAMPION))
    days = pd.DatetimeIndex(sorted(flights["date"].unique()))
    starts = list(windows(days[days >= APRIL], WEEK_DAYS, WEEK_DAYS))
    for figure, limit in (("wrong", 0.03), ("called", 0.05)):
        counted = {"requests": np.zeros(2, int), "flights": np.zeros(2, int)}
        for turn in range(CANARIES):
            week = flights[year.between(*starts[turn % len(starts)])]
            value = numbered(week, 10)[["request_id", figure]]
            request = pd.factorize(value["request_id"])[0]
            for unit, found in counted.items():
                found += canary_misled(value[figure].to_numpy(), request, limit, unit, generator)
        for unit, (promoted, worse) in counted.items():
            name = f"{figure}, by {unit}"
            yield Count(f"{name}: promoted at exactly the limit", promoted, CANARIES, "at most 5%")
            yield Count(f"{name}: A/A called worse, 99%", worse, CANARIES, "at most 1%")


def canary_misled(
    value: np.ndarray,
    request: np.ndarray,
    limit: float,
    unit: str,
    generator: np.random.Generator,
) -> tuple[bool, bool]:
    """Return whether a canary promotes at the limit, and calls an equal worse, at any look."""
    new = generator.random(request.max() + 1) < 0.5
    extra = limit / max(1 - value.mean(), 1e-9)
    turned = (value == 0) & (generator.random(len(value)) < extra) & new[request]
    looks = np.linspace(0, len(new), 5 * WEEK_DAYS + 1).astype(int)[1:]
    promoted = False
    worse = False
    for look in looks:
        seen = request < look
        equal = between([arms(value[seen], request[seen], new, unit)], 300, ABORT_ALPHA)
        worse = worse or equal.low > 0
        more = np.where(turned, 1.0, value)[seen]
        found = between([arms(more, request[seen], new, unit)], 300)
        promoted = promoted or found.high < limit
    return promoted, worse


def arms(value: np.ndarray, request: np.ndarray, new: np.ndarray, unit: str) -> tuple[Arm, Arm]:
    """Return both sides, with the request or each flight by itself as unit."""
    sides = []
    for side in (True, False):
        mine = new[request] == side
        group = request[mine] if unit == "requests" else np.arange(mine.sum())
        sums = cluster_sums(value[mine], group)
        sides.append(Arm(sums, cluster_sums(np.ones(mine.sum()), group)))
    return sides[0], sides[1]


# ---- whole runs


def seeds(workspace: Workspace) -> Iterator[Count]:
    """Whole runs of the loop, each seed with days drawn anew."""
    with Service() as service:
        good = [run(workspace, service, "good", seed) for seed in SEEDS]
        struck = [run(workspace, service, "drift", seed) for seed in SEEDS]
    count = len(SEEDS)
    quiet = sum(not alerted_weeks(state, ACCURACY_RULE) for state in good)
    yield Count("good data, 8 weeks: no alert", quiet, count, "at least 18 of 20")
    soon = sum(first_alert(state) in (4, 5) for state in struck)
    yield Count("drift from week 4: first alert in week 4 or 5", soon, count, "20 of 20")
    back = sum(recovered(state) for state in struck)
    yield Count("drift: retrained within 8 weeks, and better than the old", back, count, "")


def run(workspace: Workspace, service: Service, scenario: str, seed: int) -> RunState:
    """Run the loop, and tell what came of it on stderr."""
    state = fold(run_pipeline(RunConfig(scenario, seed=seed), workspace, service))
    told = " ".join(f"{week.accuracy:.3f}{'!' if week.alert else ''}" for week in state.weeks)
    print(f"{scenario} {seed}: {told} {state.error}", file=sys.stderr, flush=True)
    return state


def first_alert(state: RunState) -> int | None:
    """Return the number of the first week on which the accuracy rule fired."""
    fired = alerted_weeks(state, ACCURACY_RULE)
    return fired[0].number if fired else None


def recovered(state: RunState) -> bool:
    """Return whether a retrained model served in the end, better than the old one would have."""
    found = outcome(state)
    better = found.recovered and found.otherwise and found.recovered > found.otherwise
    return bool(better) and not state.weeks[-1].alert


if __name__ == "__main__":
    main()
