"""CUSUM: has the mean of a stream moved away from a known target?

The oldest of the detectors for streams, and the plainest: what lies above the target is summed up,
less an allowance, and never below zero. Like the others here it takes one value at a time and says
whether it sees a change now. None of them knows which values go together, so a stream of flights,
whose errors come in bad days, sets them off although nothing has changed.
"""

from math import isfinite

from mlops_course.core.errors import ParameterError


class Cusum:
    """The tabular CUSUM chart for the mean of a stream.

    With ``z = (value - target) / deviation`` the upper sum is ``max(0, sum + z - allowance)``; an
    alarm is a sum above ``limit``. After an alarm it begins anew with the next value. How often it
    alarms on a calm stream depends on the limit, and is calculated for values that are independent
    and follow the normal distribution: for .5 and 5, once in about 930 values on one side. Errors
    of single flights do not: at a rate of 10% these settings alarm on 99% of calm streams of 1,000.

    Parameters
    ----------
    target
        The mean of the stream while nothing has changed.
    deviation
        Its standard deviation then, above 0.
    allowance
        What is taken off each step, in standard deviations: half of the shift to be found.
    limit
        The sum above which there is an alarm, in standard deviations.
    two_sided
        Whether a fall of the mean is looked for, too.

    Attributes
    ----------
    drift_detected
        Whether the value given last raised an alarm.
    level
        The upper sum after that value, in standard deviations.

    Raises
    ------
    ParameterError
        If the deviation is not above 0.

    Source: Page, *Continuous inspection schemes*, Biometrika 41, 1954; Montgomery, *Introduction to
    statistical quality control*, chapter 9 (tabular form, and .5 and 5); Siegmund, *Sequential
    analysis*, 1985, section 2.6 (how often it alarms).

    >>> detector = Cusum(target=0.1, deviation=0.3)
    >>> for number, error in enumerate([0, 0, 1, 1, 1, 1]):
    ...     detector.update(error)
    ...     if detector.drift_detected:
    ...         print("change seen at", number)
    change seen at 4
    """

    def __init__(
        self,
        target: float,
        deviation: float,
        allowance: float = 0.5,
        limit: float = 5.0,
        two_sided: bool = False,
    ) -> None:
        if not deviation > 0:
            raise ParameterError(
                f"The standard deviation of the stream is {deviation}.",
                "It is the unit of a CUSUM chart, so it must be above 0.",
                "Measure it on a stretch on which nothing had changed.",
            )
        self.target = target
        self.deviation = deviation
        self.allowance = allowance
        self.limit = limit
        self.two_sided = two_sided
        self.drift_detected = False
        self.level = 0.0
        self._fall = 0.0

    def update(self, value: float) -> None:
        """Take the stream's next value, and set `drift_detected`.

        Raises
        ------
        ParameterError
            If the value is no finite number.
        """
        if self.drift_detected:
            self.level = 0.0
            self._fall = 0.0
        standardised = (finite(value) - self.target) / self.deviation
        self.level = max(0.0, self.level + standardised - self.allowance)
        self._fall = max(0.0, self._fall - standardised - self.allowance)
        fallen = self.two_sided and self._fall > self.limit
        self.drift_detected = self.level > self.limit or fallen


def finite(value: float) -> float:
    """Return a value of a stream if it is a finite number.

    Raises
    ------
    ParameterError
        If it is not: it would stay in the detector's sums for good.
    """
    if not isfinite(value):
        raise ParameterError(
            f"The stream's next value is {value}.",
            "A detector takes numbers; one that is missing would stay in its sums for good.",
            "Leave out flights without a label, and count how many they are.",
        )
    return value
