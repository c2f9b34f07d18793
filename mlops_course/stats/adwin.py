"""ADWIN: does any recent stretch of a stream have another mean than what came before it?

It keeps a window that grows while nothing changes, and compares every recent part of it with the
older part, at a level that allows for all these comparisons. So nobody has to say how long recent
is. The level is meant for values that are independent.
"""

from collections.abc import Iterator
from math import log, sqrt

from mlops_course.stats.cusum import finite

BUCKETS_A_SIZE = 5


class Adwin:
    """Adaptive windowing for the mean of a stream.

    The window is kept as sums over buckets of 1, 2, 4, 8 ... values, oldest and largest first: so
    many values need few sums, and the window is cut between buckets only. It alarms if at any cut
    the means of the two parts differ by more than chance allows.

    After an alarm it begins anew with the next value, as the package river does, whose defaults it
    has. The paper drops the oldest buckets until no cut is left, and goes on with the rest; it then
    mostly alarms several times for one change.

    Parameters
    ----------
    delta
        The level of one check: a calm window of independent values alarms more rarely than that.
    clock
        It is checked whenever so many more values have come.
    min_part
        No part of the window may be shorter than this.
    min_values
        With so many values or fewer there is no check.

    Attributes
    ----------
    drift_detected
        Whether the value given last raised an alarm.

    Source: Bifet and Gavaldà, *Learning from time-changing data with adaptive windowing*, SIAM
    International Conference on Data Mining, 2007, sections 3 and 4.

    >>> detector = Adwin()
    >>> for number in range(1_000):
    ...     detector.update(number % 10 == 0 or number > 500)
    ...     if detector.drift_detected:
    ...         print("change seen at", number)
    change seen at 543
    """

    def __init__(
        self, delta: float = 0.002, clock: int = 32, min_part: int = 5, min_values: int = 10
    ) -> None:
        self.delta = delta
        self.clock = clock
        self.min_part = min_part
        self.min_values = min_values
        self._begin()

    def _begin(self) -> None:
        """Forget the stream so far."""
        self.drift_detected = False
        self._count = 0
        self._total = 0.0
        self._squares = 0.0  # squared distances from the mean, summed up
        self._sums: list[list[float]] = [[]]  # of buckets of 1, 2, 4 ... values, oldest first each

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return self._count

    @property
    def mean(self) -> float:
        """The mean of the window, 0 while it is empty."""
        return self._total / max(self._count, 1)

    def update(self, value: float) -> None:
        """Take the stream's next value, and set `drift_detected`.

        Raises
        ------
        ParameterError
            If the value is no finite number.
        """
        if self.drift_detected:
            self._begin()
        self._insert(float(finite(value)))
        due = self._count % self.clock == 0 and self._count > self.min_values
        self.drift_detected = due and any(self._differ(*cut) for cut in self._cuts())

    def _insert(self, value: float) -> None:
        """Add a bucket of one value; where there are too many of a size, join the oldest two."""
        self._squares += self._count * (value - self.mean) ** 2 / (self._count + 1)
        self._count += 1
        self._total += value
        self._sums[0].append(value)
        size = 0
        while len(self._sums[size]) > BUCKETS_A_SIZE:
            if size + 1 == len(self._sums):
                self._sums.append([])
            oldest = self._sums[size].pop(0)
            self._sums[size + 1].append(oldest + self._sums[size].pop(0))
            size += 1

    def _cuts(self) -> Iterator[tuple[int, float]]:
        """Yield the number of values in the older part, and their sum, for each cut."""
        count = 0
        total = 0.0
        for size in reversed(range(len(self._sums))):
            for bucket in self._sums[size]:
                count += 2**size
                total += bucket
                yield count, total

    def _differ(self, count: int, total: float) -> bool:
        """Return whether the older part's mean is farther from the newer's than chance allows."""
        newer = self._count - count
        if min(count, newer) < self.min_part:
            return False
        apart = abs(total / count - (self._total - total) / newer)
        # One over the harmonic mean of the lengths, each less what no part may be shorter than.
        short = self.min_part - 1
        weight = 1 / (count - short) + 1 / (newer - short)
        chance = log(2 * log(self._count) / self.delta)
        variance = self._squares / self._count
        return apart > sqrt(2 * weight * variance * chance) + 2 / 3 * weight * chance
