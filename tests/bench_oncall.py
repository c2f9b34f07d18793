"""Let the scripted players play many shifts: `mlops-course bench --oncall`.

It writes one CSV on stdout: what each player's shift has cost, by what, in flights called wrong,
for the levels and for so many seeds. A number of seeds may be given; without one it is 100, which
takes some hours of processor time.
"""

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, fields

from mlops_course.core.workspace import open_workspace
from mlops_course.oncall.players import PLAYERS
from mlops_course.oncall.scoring import rehearse
from mlops_course.shifts.ledger import Harm
from mlops_course.shifts.plans import LEVELS, draw_shift
from mlops_course.shifts.worlds import open_world

SEEDS = 100
COLUMNS = ("seed", "level", "player", *(part.name for part in fields(Harm)))

Row = Sequence[object]


def main(seeds: int) -> None:
    """Write the table."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    shifts = [(seed, level) for level in LEVELS for seed in range(seeds)]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 2)) as processes:
        for done, rows in enumerate(processes.map(_played, shifts), start=1):
            table.writerows(rows)
            print(f"{done} of {len(shifts)} shifts ...", file=sys.stderr, flush=True)


def rows_of(seed: int, level: str, players: Sequence[str] = tuple(PLAYERS)) -> Iterator[Row]:
    """Yield what a shift has cost under each of the players, rounded to hundredths."""
    shift = draw_shift(seed, level)
    world = open_world(open_workspace(), shift)
    for player in players:
        harm = rehearse(shift, world, player).harm
        yield [seed, level, player, *(round(float(part), 2) for part in astuple(harm))]


def _played(shift: tuple[int, str]) -> list[Row]:
    return list(rows_of(*shift))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
