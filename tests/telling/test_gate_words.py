"""What the gate found, in plain words; the real sentences are those of `release.comparison`."""

import numpy as np
import pandas as pd
import pytest

from mlops_course.pipeline.events import REFUSED, REFUSED_BY, StageFinished
from mlops_course.pipeline.state import StageRecord, fold, record_of
from mlops_course.release.comparison import compare
from mlops_course.telling import gate_words

TRIED = 2_000


def judged(better: float, must_gain: bool = True) -> StageRecord:
    """Return what the gate records of a candidate that is right more often by a share."""
    chance = np.random.default_rng(0)
    days = np.repeat(pd.date_range("2013-03-18", periods=14), TRIED // 14 + 1)[:TRIED]
    late = chance.random(TRIED) < 0.5
    flights = pd.DataFrame(
        {"date": days, "late": late * 1.0, "dep_delay": late * 30.0, "origin": "JFK"}
    ).assign(carrier="AA")
    candidate = np.where(chance.random(TRIED) < 0.8 + better, late, ~late) * 1.0
    champion = np.where(chance.random(TRIED) < 0.8, late, ~late) * 1.0
    flights["dep_delay"] = np.where(chance.random(TRIED) < 0.6, late, ~late) * 30.0
    verdict = compare(flights, candidate, champion, against="version 7", must_gain=must_gain)
    figures: dict[str, float | int | str] = {check.name: check.seen for check in verdict.checks}
    failed = [check.name for check in verdict.checks if not check.passed]
    if failed:
        figures[REFUSED_BY] = ", ".join(failed)
    headline = REFUSED if failed else "passed"
    record = record_of(fold([StageFinished("gate", 1, 0.1, headline, figures)]), "gate")
    assert record is not None
    return record


@pytest.mark.parametrize("must_gain", [True, False])
@pytest.mark.parametrize("better", [-0.1, 0.0, 0.1])
def test_sentences_when_the_gate_gives_a_bound_then_it_is_called_worst_or_best(better, must_gain):
    record = judged(better, must_gain)
    plain = dict(gate_words.lines(record))
    bounded = [name for name, seen in record.metrics.items() if "(one-sided 9" in str(seen)]
    compared = [name for name in bounded if "points" in str(record.metrics[name])]
    assert len(compared) >= 3
    for name in compared:
        assert is_plain(plain[name]), plain[name]


def is_plain(words: str) -> bool:
    """Tell whether a sentence says its case plainly, without a signed bound."""
    return ("At worst" in words or "At best" in words) and "+" not in words


def test_verdict_when_passed_then_says_so_first_and_by_how_much():
    said = gate_words.verdict(judged(0.1))
    assert said.startswith("Passed. The candidate calls 9")
    assert "points better. At worst, as far as 14 days can tell, it is" in said


def test_verdict_when_refused_then_says_so_first_and_which_check_did_not_hold():
    said = gate_words.verdict(judged(-0.04))
    assert said.startswith("Refused. The candidate calls")
    assert "better overall" in said.partition("What did not hold: ")[2] and "points worse." in said


def test_bound_when_even_the_best_case_is_a_loss_then_says_the_loss_is_sure():
    said = "For origin JFK -9.00 points against version 7, at most -2.50 (one-sided 95%, by 7 days)"
    assert gate_words.plainly(f"{said}; a sure loss blocks.") == (
        "9.00 points worse than version 7. At best 2.50 worse: the loss is sure."
    )


def test_sentence_when_it_has_another_form_then_is_passed_on():
    assert (
        gate_words.plainly("12 of 12 flights were answered.") == "12 of 12 flights were answered."
    )
    assert gate_words.verdict(StageRecord("gate", 1, "done", headline="passed")) == ""
