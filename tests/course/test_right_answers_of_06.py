"""Right answers of another shape than the solution's are right, too."""

import hashlib
import random
import uuid

import numpy as np
import pandas as pd
import pytest

from mlops_course.course.exercises import check

PLANS = [34.5, 15.3, 85.9, 61.4]
RULINGS = {"A": "wait", "B": "abort", "C": "promote", "D": "abort", "E": "wait"}


def by_md5(request_id, share, release):
    digest = hashlib.md5(f"{release}:{request_id}".encode()).hexdigest()
    return int(digest, 16) / 16**32 < share


def by_seed(request_id, share, release):
    return random.Random(f"{release}|{request_id}").random() < share


def by_uuid(request_id, share, release):
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{release}/{request_id}").int / 2**128 < share


def by_many_places(request_id, share, release):
    digest = hashlib.sha1(f"{release}/{request_id}".encode()).hexdigest()
    return np.bool_(int(digest, 16) % 1_000_000 < 1_000_000 * share)


ANSWERS = [
    ("06.1", tuple(PLANS)),
    ("06.1", np.array(PLANS)),
    ("06.1", pd.Series(PLANS)),
    ("06.1", dict(zip("abcd", PLANS, strict=True))),
    ("06.1", [1.09 * days for days in PLANS]),
    *(("06.2", answer) for answer in (by_md5, by_seed, by_uuid, by_many_places)),
    ("06.3", pd.Series(RULINGS)),
    ("06.3", list(RULINGS.values())),
    ("06.3", {letter: f" {word.upper()} " for letter, word in RULINGS.items()}),
]


@pytest.mark.parametrize(("key", "answer"), ANSWERS)
def test_answer_when_it_is_right_in_another_shape_then_is_right(key, answer):
    feedback = check(key, answer)
    assert feedback.status == "right", feedback
