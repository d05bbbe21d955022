"""What went into a model server and what came out become predictions: one row for each instance of a batch.

    V1   {"instances": [[…], …]}  ->  {"predictions": […]}
    V2   {"inputs": [{"name", "shape", "datatype", "data"}]}  ->  {"outputs": [the same], "model_version"}

An instance is a list (features `f0`, `f1`, …), an object (features by their names) or one value. A
tensor of V2 with one value a row is a feature of its name, one with several `<name>_0`, `<name>_1`, ….
Where one side is missing its rows are orphans: `request_only` or `response_only`. A nested value is no
feature; it is counted where the rows become columns.

Source: KServe, "V1 Protocol" and "Open Inference Protocol (V2)"; Amazon SageMaker, "Capture data";
SOURCES section 3.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import prod
from typing import Any, Final

from collectors.scalars import told

INSTANCES: Final = 10_000  # of one call
WIDTH: Final = 2000  # values of one instance that are looked at
_ANSWER: Final = ("prediction", "label", "class", "output")
_SCORE: Final = ("score", "probability", "proba", "confidence")

Row = dict[str, Any]
_ABSENT: Final = object()


def rows_of(request: Any, response: Any) -> list[Row]:
    """The predictions of one call, in order: `features`, `prediction`, `score`, `orphan`, `item_idx`.

    Args:
        request: its body as JSON, None when it is missing.
        response: the same.

    Raises:
        ValueError: a body is in neither protocol, or holds more than 10,000 instances.

    >>> rows_of({"instances": [[1, 2]]}, {"predictions": [0.5]})
    [{'features': {'f0': 1, 'f1': 2}, 'prediction': 0.5, 'item_idx': 0}]
    """
    asked = [] if request is None else instances(request)
    answered = [] if response is None else answers(response)
    rows = []
    for i, (features, answer) in enumerate(zip_longest(asked, answered, fillvalue=_ABSENT)):
        row: Row = {} if features is _ABSENT else {"features": features}
        row |= answer if isinstance(answer, dict) else {}
        if features is _ABSENT or answer is _ABSENT:
            row["orphan"] = "response_only" if features is _ABSENT else "request_only"
        rows.append(row | {"item_idx": i})
    return rows


def instances(body: Any) -> list[Row]:
    """The features of every instance of a request."""
    if isinstance(body, dict) and isinstance(body.get("inputs"), list) and _is_tensors(body["inputs"]):
        return _by_row(body["inputs"])
    held = body.get("instances", body.get("inputs")) if isinstance(body, dict) else body
    if not isinstance(held, list):
        raise ValueError("a request holds neither instances nor inputs")
    return [_instance(value) for value in _few(held)]


def answers(body: Any) -> list[Row]:
    """The prediction, and where it is told the score, of every instance of a response."""
    if isinstance(body, dict) and isinstance(body.get("outputs"), list) and _is_tensors(body["outputs"]):
        version = {"model_version": body["model_version"]} if body.get("model_version") else {}
        return [version | _outputs(row) for row in _by_row(body["outputs"], answers=True)]
    held = body.get("predictions", body.get("outputs")) if isinstance(body, dict) else body
    if not isinstance(held, list):
        raise ValueError("a response holds neither predictions nor outputs")
    return [_answer(value) for value in _few(held)]


def _few(values: list[Any]) -> list[Any]:
    if len(values) > INSTANCES:
        raise ValueError(f"more than {INSTANCES} instances in one call")
    return values


def _instance(value: Any) -> Row:
    if isinstance(value, dict):
        return value
    return {f"f{i}": v for i, v in enumerate((value if isinstance(value, list) else [value])[:WIDTH])}


def _answer(value: Any) -> Row:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return {"prediction": told(value) if isinstance(value, list) else value}
    row = {"prediction": next((value[k] for k in _ANSWER if k in value), told(value))}
    score = next((value[k] for k in _SCORE if isinstance(value.get(k), (int, float))), None)
    return row if score is None else row | {"score": score}


def _outputs(row: Row) -> Row:
    """Of several output tensors the first that is no score is the prediction."""
    scores = [name for name in row if any(word in name.lower() for word in _SCORE)]
    name = next((n for n in row if n not in scores), next(iter(row), None))
    answer = _answer(row.get(name)) if name is not None else {}
    score = next((row[n] for n in scores if n != name and isinstance(row[n], (int, float))), None)
    return answer if score is None else answer | {"score": score}


def _is_tensors(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(v, dict) and "name" in v and isinstance(v.get("data"), list) for v in values)


def _by_row(tensors: Sequence[Mapping[str, Any]], *, answers: bool = False) -> list[Row]:
    """Tensors cut along their first dimension."""
    rows: list[Row] = []
    for tensor in tensors:
        name, data = str(tensor["name"]), _flat(tensor["data"])
        height, width = _shape(tensor.get("shape"), len(data))
        rows += [{} for _ in range(height - len(rows))]
        for i in range(height):
            values = data[i * width : i * width + min(width, WIDTH)]
            if answers or width == 1:
                rows[i][name] = values[0] if width == 1 else values
            else:
                rows[i].update({f"{name}_{j}": v for j, v in enumerate(values)})
    return rows


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = [v for part in data for v in (part if isinstance(part, list) else [part])]
    return data


def _shape(shape: Any, size: int) -> tuple[int, int]:
    """Rows and values a row of a tensor."""
    whole = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)
    if not whole or not shape:
        shape = [size]
    height, width = shape[0], prod(shape[1:])
    if height * width != size or height > INSTANCES:
        raise ValueError(f"a tensor of shape {shape!r:.100} holds {size} values, or more than {INSTANCES} rows")
    return height, width


def captured(item: Mapping[str, Any]) -> list[Row] | None:
    """The predictions of one line of a SageMaker data capture; None when it is something else.

    >>> line = {"captureData": {"endpointInput": {"data": "1,2", "encoding": "CSV"}}, "eventMetadata": {"eventId": "e"}}
    >>> captured(line)
    [{'features': {'f0': 1.0, 'f1': 2.0}, 'orphan': 'request_only', 'item_idx': 0, 'prediction_id': 'e', 'ts': None}]
    """
    capture, event = item.get("captureData"), item.get("eventMetadata")
    if not isinstance(capture, dict) or not isinstance(event, dict):
        return None
    told_id = {"prediction_id": event.get("inferenceId") or event.get("eventId"), "ts": event.get("inferenceTime")}
    try:
        rows = rows_of(_side(capture.get("endpointInput")), _side(capture.get("endpointOutput")))
    except (ValueError, RecursionError):
        return None
    return [row | told_id for row in rows]


def _side(side: Any) -> Any:
    """One side of a capture as JSON; a line of CSV is an instance."""
    if not isinstance(side, dict) or not isinstance(side.get("data"), str):
        return None
    data = side["data"]
    if side.get("encoding") == "BASE64":
        try:
            data = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"the data is no base64 of text: {error}") from error
    if side.get("encoding") == "JSON" or "json" in str(side.get("observedContentType")):
        return json.loads(data)
    try:
        return [[_number(v) for v in row] for row in csv.reader(data.splitlines()) if row]
    except csv.Error as error:
        raise ValueError(f"the data is no CSV: {error}") from error


def _number(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text.strip() or None
