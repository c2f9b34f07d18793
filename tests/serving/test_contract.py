"""The service's contract, held against generated traffic: its own description, and frames."""

import math
from datetime import date

import numpy as np
import orjson
import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC, REQUIRED, WEATHER, encode
from mlops_course.data.flights import load_flights
from mlops_course.registry import versions
from mlops_course.serving.contract import CSV, Refused, read_columns, request_body
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.trainer import TrainingConfig, train

CASES = 500
GENERATED = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
VALUES = {
    **{name: st.floats(allow_nan=False, allow_infinity=False) for name in NUMERIC},
    **{name: st.text(max_size=5) for name in CATEGORICAL},
}
VALUES |= {name: st.none() | VALUES[name] for name in WEATHER}
FLIGHTS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=5)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def live(shared_workspace):
    """A service with a small model of two weeks."""
    flights = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))
    result, store = train(flights, TrainingConfig(max_iter=5)), tracking.connect(shared_workspace)
    run_id, uri = tracking.log_training(
        store, tracking.provenance(), result, flights, {}, name="contract", seed=0, parent=""
    )
    with Service() as service:
        service.load(versions.register(store, run_id, uri).path, "1")
        yield service


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_service_when_its_own_description_generates_the_traffic_then_keeps_to_it(live, mode):
    description = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
    answered: list[int] = []

    @GENERATED
    @given(case=description["/invocations"]["POST"].as_strategy(generation_mode=mode))
    def hold(case):
        assume(case.media_type != CSV or mode == GenerationMode.NEGATIVE)  # no schema tells a CSV
        response = case.call_and_validate()
        answered.append(response.status_code)

    hold()
    assert len(answered) >= CASES
    assert set(answered) <= ({200} if mode == GenerationMode.POSITIVE else {400, 415, 422})


@GENERATED
@given(flights=FLIGHTS)
def test_frame_when_legal_then_every_format_gives_the_same_columns(flights):
    frame = pd.DataFrame(flights, columns=list(FEATURES))
    frame[list(NUMERIC)] = frame[list(NUMERIC)].astype("float64")
    by_column = {name: [flight[name] for flight in flights] for name in FEATURES}
    bodies = (
        request_body(frame),
        orjson.dumps({"dataframe_records": flights}),
        orjson.dumps({"instances": flights}),
        orjson.dumps({"instances": by_column}),
    )
    vocabulary = {name: sorted(set(by_column[name])) for name in CATEGORICAL}
    expected = encode(frame, vocabulary)
    for body in bodies:
        np.testing.assert_array_equal(encode(read_columns(body), vocabulary), expected)


@GENERATED
@given(flights=FLIGHTS, field=st.sampled_from(FEATURES), value=NONSENSE)
def test_frame_when_one_value_is_illegal_then_the_refusal_names_the_field(flights, field, value):
    flights[0][field] = value
    body = orjson.dumps({"dataframe_records": flights})
    if legal(field, value):
        assert len(read_columns(body)[field]) == len(flights)
    else:
        with pytest.raises(Refused, match=f"^{field} is null|^{field} must be"):
            read_columns(body)


@GENERATED
@given(body=st.binary(max_size=80) | NONSENSE.map(lambda value: str(value).encode()))
def test_body_when_it_is_anything_then_is_read_or_refused_with_4xx(body):
    try:
        read_columns(body)
    except Refused as error:
        assert 400 <= error.status < 500 and str(error)


def legal(field, value):
    """Whether a value, as JSON carries it, may stand in a field."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return field not in REQUIRED
    if field in CATEGORICAL:
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)
