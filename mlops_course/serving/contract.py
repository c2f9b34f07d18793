"""The service's contract: how flights become a request's body, and a body becomes columns again.

Bodies are in MLflow's formats. One that cannot be read gets a sentence that names the field and
says what was expected. Needs neither MLflow nor pandas, as the service does not.
"""

import csv
import json
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import host_in, short
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC, REQUIRED, WEATHER

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 20_000
MAX_BYTES = 8 * 2**20
MAX_VALUES = 32 * MAX_ROWS
MAX_PARTS = 2 * MAX_ROWS
MAX_LETTERS = 64
MAX_ECHOED = 40
JSON = "application/json"
CSV = "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
MISSING = {"", "NA", "NaN", "nan", "null", "None"}
# Why a request is refused, in a word: the status's own, or one of those where a status has several.
BY_STATUS = {
    403: "foreign",
    404: "route",
    405: "route",
    408: "slow",
    413: "long",
    415: "type",
    422: "form",
    499: "left",
    500: "failed",
    503: "busy",
}
COLUMNS = "columns"
VALUES = "values"
NO_MODEL = "no model"
NO_LOG = "no log"
OTHER = "other"
REASONS = (*dict.fromkeys(BY_STATUS.values()), COLUMNS, VALUES, NO_MODEL, NO_LOG, OTHER)

Columns = dict[str, list[Any]]


class Refused(Exception):
    """A request that is not scored: the sentence to answer, the HTTP status, and why in a word.

    A sentence repeats little of what was sent: `shown` cuts it. The word is one of `REASONS`, by
    default the status's own.
    """

    def __init__(self, sentence: str, status: int = 422, reason: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason or BY_STATUS.get(status, OTHER)


def request_body(rows: "pd.DataFrame") -> bytes:
    """Return rows as MLflow's ``dataframe_split``; missing numbers become null.

    `read_columns` is the way back.
    """
    return packed(rows_of(rows))


def rows_of(flights: "pd.DataFrame") -> list[tuple[object, ...]]:
    """Return the features of each flight, in the order of `FEATURES`, as a request sends them."""
    columns = [
        flights[name].astype(str).tolist() if name in CATEGORICAL else flights[name].tolist()
        for name in FEATURES
    ]
    return list(zip(*columns, strict=True))


def packed(data: Sequence[tuple[object, ...]]) -> bytes:
    """Return the body of a request with some of what `rows_of` gives."""
    return orjson.dumps({"dataframe_split": {"columns": FEATURES, "data": data}})


def packed_columns(columns: Mapping[str, Any]) -> bytes:
    """Return what `read_columns` read as a body again, column by column, and nothing besides."""
    return orjson.dumps({"inputs": columns}, option=orjson.OPT_SERIALIZE_NUMPY)


def unpacked_columns(body: bytes) -> dict[str, Any]:
    """Return the columns that `packed_columns` made a body of; whatever else it is is refused."""
    return _checked(_columns_of(_parsed(body)))


def read_columns(body: bytes, kind: str = JSON) -> dict[str, Any]:
    """Read a request's body.

    Parameters
    ----------
    kind
        What the body is: `JSON` or `CSV`.

    Returns
    -------
    The 14 features by name, numbers as float64 arrays with NaN for null, categories as lists.

    Raises
    ------
    Refused
        If the body is not in one of the `FORMATS`, or a field is not what was expected.
    """
    text = body.removeprefix(BOM_UTF8)
    _refuse_crowded(text, kind)
    return _checked(_of_csv(text) if kind == CSV else _columns_of(_parsed(text)))


def _refuse_crowded(body: bytes, kind: str) -> None:
    """Refuse what would take long to read, and could only be refused once it was."""
    begins_part = (b"\n", b"\r") if kind == CSV else (b"[", b"{")
    parts = sum(body.count(begin) for begin in begins_part)
    if body.count(b",") > MAX_VALUES or parts > MAX_PARTS:
        raise Refused(f"The body holds more than {MAX_ROWS} flights can; send fewer rows.")


def _parsed(body: bytes) -> tuple[str, Any]:
    """Return the format that a body uses, and what it holds."""
    message = _json(body)
    if not isinstance(message, dict):
        raise Refused(f"The body must be a JSON object with one of {', '.join(FORMATS)}.")
    given = [name for name in FORMATS if name in message]
    if len(given) != 1:
        has = ", ".join(given) or "none"
        raise Refused(f"The body needs exactly one of {', '.join(FORMATS)}; it has {has}.")
    return given[0], message[given[0]]


def _json(body: bytes) -> Any:
    """Read JSON. MLflow's own client writes NaN, which is none, where it means null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body:
            with suppress(ValueError, KeyError, RecursionError):
                text = str(body, "utf-8")
                return json.loads(text, parse_constant={"NaN": None}.__getitem__)
        raise Refused(f"The body is not JSON: {error}.") from error


def _columns_of(parsed: tuple[str, Any]) -> Columns:
    name, content = parsed
    if name == "dataframe_split":
        return _of_split(content)
    if name in ("instances", "inputs") and isinstance(content, dict):
        return _of_lists(name, content)
    if not isinstance(content, list) or any(not isinstance(record, dict) for record in content):
        raise Refused(f"{name} must be a list of objects, one for each flight.")
    given = set().union(*content) if content else set(FEATURES)
    return {name: [record.get(name) for record in content] for name in FEATURES if name in given}


def _of_split(content: Any) -> Columns:
    if not isinstance(content, dict):
        raise Refused("dataframe_split must be an object with 'columns' and 'data'.")
    names = content.get("columns")
    data = content.get("data")
    if not isinstance(names, list) or not isinstance(data, list):
        raise Refused("dataframe_split needs 'columns' and 'data', both lists.")
    if any(not isinstance(name, str) for name in names):
        raise Refused("dataframe_split needs names as 'columns', all of them strings.")
    _refuse_twice(names)
    if set(map(type, data)) - {list} or set(map(len, data)) - {len(names)}:
        raise Refused(f"Every row of dataframe_split needs {len(names)} values.")
    columns = zip(*data, strict=True) if data else ([] for _ in names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _of_lists(name: str, content: Mapping[str, Any]) -> Columns:
    if any(not isinstance(column, list) for column in content.values()):
        raise Refused(f"{name}, given by column, needs a list for each of them.")
    if len({len(column) for column in content.values()}) > 1:
        raise Refused(f"{name}, given by column, needs lists of one length.")
    return dict(content)


def _of_csv(body: bytes) -> Columns:
    """Read a table with a line of names, as `pandas.DataFrame.to_csv` writes it."""
    try:
        lines = StringIO(str(body, "utf-8"), newline="")
        names, *rows = [row for row in csv.reader(lines, strict=True) if row]
    except (ValueError, csv.Error) as error:
        raise Refused("The body is not CSV in UTF-8 with a line of names.") from error
    _refuse_twice(names)
    if any(len(row) != len(names) for row in rows):
        raise Refused(f"Every line of the CSV needs {len(names)} values.")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    given = {name: columns[name] for name in FEATURES if name in columns}
    return {name: _of_text(name, values) for name, values in given.items()}


def _refuse_twice(names: list[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Refused(f"The column {shown(twice[0])} is named more than once.", reason=COLUMNS)


def _of_text(name: str, values: list[str]) -> list[Any]:
    """Return a column of a CSV as JSON would carry it: numbers where they belong, null for none."""
    read = str if name in CATEGORICAL else _number
    try:
        return [None if value in MISSING else read(value) for value in values]
    except ValueError as error:
        raise Refused(f"{name} must be a number in every row.", reason=VALUES) from error


def _number(text: str) -> float:
    number = float(text)
    if "_" in text or not isfinite(number):
        raise ValueError("Python reads 1_0 as 10 and NAN as none; a CSV has no such numbers")
    return number


def _checked(columns: Columns) -> dict[str, Any]:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise Refused(
            f"Missing: {', '.join(missing)}. Expected: {', '.join(FEATURES)}.", reason=COLUMNS
        )
    count = len(columns[FEATURES[0]])
    if not 1 <= count <= MAX_ROWS:
        raise Refused(f"{count} rows were sent; a request takes 1 to {MAX_ROWS}.")
    absent = dict.fromkeys(WEATHER, [None] * count)
    columns = absent | columns
    numbers = {name: _numbers(name, columns[name]) for name in NUMERIC}
    return {**numbers, **{name: _words(name, columns[name]) for name in CATEGORICAL}}


def _words(name: str, values: list[Any]) -> list[str]:
    if _types(name, values) != {str}:
        raise Refused(f"{name} must be a string in every row.", reason=VALUES)
    different = set(values)
    if max(map(len, different)) > MAX_LETTERS:
        raise Refused(
            f"{name} must have at most {MAX_LETTERS} letters in every row.", reason=VALUES
        )
    try:
        "".join(different).encode()
    except UnicodeEncodeError as error:
        raise Refused(
            f"{name} must be text that UTF-8 can write, in every row.", reason=VALUES
        ) from error
    return values


def _numbers(name: str, values: list[Any]) -> np.ndarray:
    if not _types(name, values) <= {int, float, NoneType}:
        raise Refused(f"{name} must be a number in every row.", reason=VALUES)
    try:
        array = np.array(values, dtype="float64")
    except OverflowError as error:
        raise Refused(f"{name} must be a number that 64 bits can hold.", reason=VALUES) from error
    if np.isinf(array).any():
        raise Refused(f"{name} must be finite in every row.", reason=VALUES)
    return array


def _types(name: str, values: list[Any]) -> set[type]:
    """Return the types of the values, and refuse null where a value is required."""
    types = set(map(type, values))
    if NoneType in types and name in REQUIRED:
        raise Refused(f"{name} is null in some row; only weather may be.", reason=VALUES)
    return types


def known_hosts(given: Iterable[str]) -> list[str]:
    """Return the names under which the service may be asked, from names with or without a port.

    Raises
    ------
    ParameterError
        If one of them is no host's name.
    """
    known = []
    for text in given:
        name = host_in(text)
        if name is None:
            raise ParameterError(
                f"{short(text) or 'An empty text'} is no host's name.",
                "A name is like hub.example or hub.example:443: no scheme, no path, no space.",
                "Give the name that the callers' Host header has, as a proxy passes it on.",
            )
        known.append(name)
    return known


def shown(sent: str) -> str:
    """Return a name that was sent as an answer may repeat it: short, and text that can be sent."""
    short = sent if len(sent) <= MAX_ECHOED else f"{sent[:MAX_ECHOED]}..."
    return short.encode("utf-8", "replace").decode()


def _property(name: str) -> dict[str, Any]:
    if name in CATEGORICAL:
        return {"type": "string", "maxLength": MAX_LETTERS}
    return {"type": ["number", "null"] if name in WEATHER else "number"}


_FLIGHT = {
    "type": "object",
    "properties": {name: _property(name) for name in FEATURES},
    "required": list(REQUIRED),
}
_LIMIT = f"At most {MAX_ROWS} flights, and {MAX_BYTES} bytes in all."
_FLIGHTS = {"type": "array", "items": _FLIGHT, "minItems": 1, "description": _LIMIT}
NOTES = f"""
Further columns and keys, `params` among them, are passed over; weather columns may be left out.
`inputs` and `instances` may also be an object with a list for each column, all of one length. A
`{CSV}` has a line of names. Unlike MLflow's server this one refuses what it would have to guess:
text for a number, a number for text, more than {MAX_LETTERS} letters, a column twice, any encoding
but UTF-8, null anywhere but in the weather; and it does so with 422, where MLflow answers 400. Its
answer has one number a flight, the probability of late, where MLflow's has that of either class.
"""
_SPLIT = {
    "type": "object",
    "properties": {
        "columns": {
            "const": list(FEATURES),
            "description": "Any order will do, and further columns.",
        },
        "data": {
            "type": "array",
            "minItems": 1,
            "description": _LIMIT,
            "items": {
                "type": "array",
                "prefixItems": [_property(name) for name in FEATURES],
                "minItems": len(FEATURES),
                "maxItems": len(FEATURES),
            },
        },
    },
    "required": ["columns", "data"],
}


def _alternative(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema},
        "required": [name],
        "not": {"anyOf": [{"required": [other]} for other in FORMATS if other != name]},
    }


REQUEST_SCHEMA = {
    "anyOf": [
        _alternative("dataframe_records", _FLIGHTS),
        _alternative("instances", _FLIGHTS),
        _alternative("inputs", _FLIGHTS),
        _alternative("dataframe_split", _SPLIT),
    ]
}
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {
        "predictions": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "description": "The probability of more than 15 minutes late, one for each flight.",
        },
        "model_version": {"type": "string"},
    },
    "required": ["predictions", "model_version"],
}
ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "error_code": {"type": "string", "description": "As MLflow has it."},
        "message": {"type": "string", "description": "The same sentence, where MLflow has it."},
    },
    "required": ["error", "error_code", "message"],
}
