import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.serving.routing import CHALLENGER, CHAMPION, Split, role_of

IDS = [f"request-{number}" for number in range(20_000)]


def challenged(share):
    return {one for one in IDS if role_of(one, Split("canary", share)) == CHALLENGER}


def test_role_when_in_canary_then_the_share_is_kept_and_an_id_always_goes_the_same_way():
    assert len(challenged(0.1)) / len(IDS) == pytest.approx(0.1, abs=0.01)
    assert challenged(0.1) == challenged(0.1)


def test_role_when_the_share_grows_then_whoever_is_in_stays_in():
    assert challenged(0.0) < challenged(0.05) < challenged(0.25) < challenged(1.0) == set(IDS)


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_role_when_there_is_no_canary_then_the_champion_answers(mode):
    assert {role_of(one, Split(mode, 1.0)) for one in IDS[:100]} == {CHAMPION}


@pytest.mark.parametrize(
    ("mode", "share"), [("half", 0.5), ("canary", -0.1), ("canary", 2), ("canary", "0.1")]
)
def test_split_when_it_cannot_be_then_says_what_can(mode, share):
    with pytest.raises(ParameterError, match="off, shadow, canary"):
        Split(mode, share)
