"""Is the newest observation the strangest of all? A rank that keeps its promise by symmetry.

Whoever fits a yardstick to N observations and holds the next one against it judges that one
more strictly: it had no part in the fit. Here all N + 1 are scored alike, each against the other
N, and the newest alarms if its score is the largest. If it comes from where the others come from
(they are exchangeable), each of the N + 1 is as likely to be the strangest, whatever the data, the
number of features and how these hang together: the chance of a false alarm is 1 / (N + 1).
Source: Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, Springer, 2005,
chapter 2, where such a score is called a nonconformity measure.
"""

import numpy as np
from scipy.stats import betabinom

from mlops_course.core.errors import ParameterError

SLACK = 0.001
FULLY_APART = 1e-6


def nonconformity(distances: np.ndarray) -> np.ndarray:
    """Return how far out each observation lies, as a multiple of the farthest of the others.

    Parameters
    ----------
    distances
        Shape (observations, features): how far each observation is from all the others together,
        from 0 to 1.

    Returns
    -------
    array of the same shape: ``t / (largest t of the other observations + SLACK)`` for each feature,
    with ``t = -log(1 - distance)``. The logarithm tells far from very far. The slack lets a feature
    that hardly ever moves weigh little.

    Raises
    ------
    ParameterError
        If there are fewer than two observations.

    >>> nonconformity(np.array([[0.1], [0.2], [0.4]])).round(2)
    array([[0.21],
           [0.44],
           [2.28]])
    """
    if len(distances) < 2:
        raise ParameterError(
            f"There are {len(distances)} observations.",
            "To call one of them strange takes at least one other.",
            "Give a row for each reference, and the newest observation's row last.",
        )
    apart = -np.log(np.maximum(1 - distances, FULLY_APART))
    ordered = np.sort(apart, axis=0)
    is_farthest = np.arange(len(apart))[:, None] == apart.argmax(axis=0)
    farthest_of_others = np.where(is_farthest, ordered[-2], ordered[-1])
    return apart / (farthest_of_others + SLACK)


def newest_scores(distances: np.ndarray) -> np.ndarray:
    """Return the last observation's score in each feature; one above 1 is an alarm.

    The strangeness of an observation is its largest `nonconformity` in any feature. The newest
    one's are divided by the strangeness of the strangest reference, so that some score is above 1
    if, and only if, the newest is the strangest of all. `false_alarm_rate` says how often that
    happens by chance, in any of the features.

    Parameters
    ----------
    distances
        Shape (observations, features), the newest observation in the last row.

    Returns
    -------
    array of shape (features,).

    >>> calm = [[0.10, 0.2], [0.12, 0.3], [0.11, 0.1]]
    >>> newest_scores(np.array([*calm, [0.11, 0.2]])).round(2)
    array([0.57, 0.39])
    >>> newest_scores(np.array([*calm, [0.60, 0.2]])).round(2)
    array([4.47, 0.39])
    """
    ratios = nonconformity(distances)
    return ratios[-1] / max(ratios[:-1].max(), SLACK)


def false_alarm_rate(references: int) -> float:
    """Return the chance that an observation like the references alarms, at one look.

    >>> round(false_alarm_rate(12), 3)
    0.077
    """
    return 1 / (references + 1)


def false_alarm_range(references: int, looks: int, confidence: float = 0.9) -> tuple[int, int]:
    """Return between how many false alarms so many looks raise, with the same references at each.

    On average they raise ``looks * false_alarm_rate(references)``. But references that happen to
    lie close together make every look too strict, and one stray reference all of them too lax: the
    rate that one has drawn follows a Beta(1, references) distribution.

    Parameters
    ----------
    references, looks
        How many references there are, and how many observations like them are held against them.
    confidence
        How often the number lies within the range, half of the rest on each side.

    Source: Vovk, *Conditional validity of inductive conformal predictors*, Machine Learning 92,
    2013, proposition 2; exact where a reference's score does not depend on the newest observation,
    close to it here.

    >>> false_alarm_range(12, looks=52)
    (0, 12)
    """
    number = betabinom(looks, 1, references)
    low, high = number.interval(confidence)
    return int(low), int(high)
