"""The Page-Hinkley test: has the mean of a stream moved away from its own past?

It is a CUSUM without a known target: the target is the mean of all values so far. So it needs no
calm stretch to be set up on, and it gets used to a change that it has missed.
"""

from mlops_course.stats.cusum import finite


class PageHinkley:
    """The Page-Hinkley test for the mean of a stream.

    It sums up how far values lie above the mean of all so far, less ``delta``, and alarms when this
    sum has risen by more than ``threshold`` from its lowest point. After an alarm it begins anew
    with the next value. The defaults are those of the package river, for any stream whatever: at an
    error rate of 10% they ask for more than 50 errors beyond the expected ones.

    Parameters
    ----------
    threshold
        The rise above which there is an alarm, in units of the values.
    delta
        What is taken off each step, in units of the values: smaller changes are not looked for.
    forgetting
        By how much the sum is multiplied at each step, at most 1.
    min_values
        With fewer values there is no alarm.
    two_sided
        Whether a fall of the mean is looked for, too.

    Attributes
    ----------
    drift_detected
        Whether the value given last raised an alarm.

    Source: Page, *Continuous inspection schemes*, Biometrika 41, 1954; Hinkley, *Inference about
    the change-point from cumulative sum tests*, Biometrika 58, 1971; Mouss, Mouss, Mouss and
    Sefouhi, *Test of Page-Hinkley, an approach for fault detection in an agro-alimentary production
    system*, Asian Control Conference, 2004 (with the mean so far as the target).

    >>> detector = PageHinkley(threshold=3, min_values=5)
    >>> for number, error in enumerate([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]):
    ...     detector.update(error)
    ...     if detector.drift_detected:
    ...         print("change seen at", number)
    change seen at 14
    """

    def __init__(
        self,
        threshold: float = 50.0,
        delta: float = 0.005,
        forgetting: float = 0.9999,
        min_values: int = 30,
        two_sided: bool = False,
    ) -> None:
        self.threshold = threshold
        self.delta = delta
        self.forgetting = forgetting
        self.min_values = min_values
        self.two_sided = two_sided
        self._begin()

    def _begin(self) -> None:
        """Forget the stream so far."""
        self.drift_detected = False
        self._count = 0
        self._mean = 0.0
        self._rising = 0.0
        self._falling = 0.0
        self._lowest = 0.0
        self._highest = 0.0

    def update(self, value: float) -> None:
        """Take the stream's next value, and set `drift_detected`.

        Raises
        ------
        ParameterError
            If the value is no finite number.
        """
        if self.drift_detected:
            self._begin()
        self._count += 1
        self._mean += (finite(value) - self._mean) / self._count
        above = value - self._mean
        self._rising = self.forgetting * self._rising + above - self.delta
        self._falling = self.forgetting * self._falling + above + self.delta
        self._lowest = min(self._lowest, self._rising)
        self._highest = max(self._highest, self._falling)
        risen = self._rising - self._lowest > self.threshold
        fallen = self.two_sided and self._highest - self._falling > self.threshold
        self.drift_detected = self._count >= self.min_values and (risen or fallen)
