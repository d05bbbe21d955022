"""The same rows give the same frame however they are written."""

import csv
import io
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import delimited, labels, predictions
from collectors.json_items import ITEM_LIMIT, Broken, items
from observe.errors import PayloadError, PayloadTooLarge
from observe.schema import Parsed

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
Rows = list[dict[str, Any]]


def parse(payload: bytes, **told: str) -> Parsed:
    return predictions.parse(payload, AT, {"model": "fraud", **told})


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def binary(write: Callable[[pl.DataFrame, io.BytesIO], Any]) -> Callable[[Rows], bytes]:
    def written(rows: Rows) -> bytes:
        body = io.BytesIO()
        write(frame(rows), body)
        return body.getvalue()

    return written


def text_table(delimiter: str, **kinds: Any) -> Callable[[Rows], bytes]:
    def written(rows: Rows) -> bytes:
        body = io.StringIO()
        writer = csv.DictWriter(body, list(rows[0]), delimiter=delimiter, **kinds)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
        return b"\xef\xbb\xbf" + body.getvalue().encode()

    return written


def arrow_stream(rows: Rows) -> bytes:
    sink = io.BytesIO()
    table = frame(rows).to_arrow()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "ndjson": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    "json array": lambda rows: json.dumps(rows, indent=1).encode(),
    "json object": lambda rows: json.dumps({"predictions": rows}).encode(),
    "csv": text_table(","), "semicolons": text_table(";", quoting=csv.QUOTE_ALL), "tabs": text_table("\t"),
    "parquet": binary(lambda f, body: f.write_parquet(body)), "arrow file": binary(lambda f, body: f.write_ipc(body, compression="lz4")),
    "arrow stream": arrow_stream,
}  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), max_size=6)
ROWS = st.lists(st.fixed_dictionaries({
    "prediction_id": TEXT.map("p{}".format), "ts": st.integers(0, 86_400).map(lambda s: (AT - timedelta(seconds=s)).isoformat()),
    "item_idx": st.none() | st.integers(0, 99), "score": st.none() | st.floats(-1e9, 1e9), "prediction": TEXT.map("is {}".format),
    "amount": st.none() | st.floats(allow_nan=False, allow_infinity=False), "note": st.none() | TEXT.map("'{}".format), "first": st.none() | st.booleans(),
}), min_size=1, max_size=6)  # fmt: skip


@settings(max_examples=60)
@given(ROWS)
def test_one_table_in_every_format_gives_one_frame(rows: Rows) -> None:
    frames = {name: parse(write(rows)).tables["prediction:fraud"] for name, write in FORMATS.items()}
    first = frames["ndjson"]

    for name, found in frames.items():
        assert found.select(sorted(found.columns)).equals(first.select(sorted(first.columns))), name


def test_a_text_table_of_a_spreadsheet_is_read_as_it_was_meant() -> None:
    body = 'prediction_id;ts;amount;zip;note\r\np1;2026-11-20T11:00:00Z;44,1;00123;"a ""b""\r\nc;d"\r\np2;2026-11-20T11:00:00Z;5;10115;\r\n\r\n'
    found = parse(body.encode("utf-16"), content_type="text/csv").tables["prediction:fraud"]

    assert found.select("amount", "zip", "note").rows() == [(44.1, "00123", 'a "b"\r\nc;d'), (5.0, "10115", None)]


def test_a_comma_among_commas_is_no_decimal_point() -> None:
    body = b'prediction_id,ts,amount\np,2026-11-20T11:00:00Z,"1,234"\n'

    assert parse(body).tables["prediction:fraud"]["amount"].to_list() == ["1,234"]


def test_what_the_model_knows_decides_what_a_text_table_means() -> None:
    body = b"prediction_id;ts;code;amount\np;2026-11-20T11:00:00Z;123;44,1\nq;2026-11-20T11:00:00Z;456;n/a\n"
    found = parse(body, types=json.dumps({"code": "VARCHAR", "amount": "DOUBLE"})).tables["prediction:fraud"]

    assert found.select("code", "amount").rows() == [("123", "44.1"), ("456", "n/a")]


def test_a_bad_record_costs_itself_only() -> None:
    body = b"prediction_id,ts,x\na,2026-11-20T11:00:00Z,1\nb,2026-11-20T11:00:00Z\nc,2026-11-20T11:00:00Z,1,2\nd,never,1\n,1,1\n"
    whole = parse(body)

    assert (whole.offered, whole.items, whole.rejected) == (5, 1, {"syntax": 2, "bad_ts": 1, "missing_key": 1})
    assert whole.examples["syntax"].startswith("2 values under 3 columns")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"ts,x\n1,2\n", "must name prediction_id"), (b"prediction_id,ts,x,x\n", "'x' twice"), (b"prediction_id," + b"," * 3000, "2000 columns"),
    ],
)  # fmt: skip
def test_a_text_table_needs_a_header_that_names_its_rows(body: bytes, told: str) -> None:
    with pytest.raises(PayloadError, match=told):
        parse(body, content_type="text/csv")


def test_numbers_written_as_text_in_later_blocks_are_text_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_CELLS", 3000)
    rows = [{"prediction_id": str(i), "ts": AT.isoformat(), "code": i} for i in range(4000)]
    body = FORMATS["csv"]([*rows, {**rows[0], "code": "x"}])
    found = parse(body).tables["prediction:fraud"]["code"]

    assert (found.dtype, found[1], found[-1]) == (pl.String, "1", "x")


@pytest.mark.parametrize("kind", ["application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"])
def test_a_body_announced_as_arrow_must_be_one(kind: str) -> None:
    with pytest.raises(PayloadError, match="Arrow"):
        parse(b'{"prediction_id": 1}', content_type=kind)


def zeros(rows: int) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"x": pa.repeat(0.0, rows)})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_an_arrow_body_that_would_fill_memory_is_413() -> None:
    body = zeros(20_000_000)

    assert len(body) < 100_000
    with pytest.raises(PayloadTooLarge):
        parse(body)


def test_views_that_repeat_one_text_are_counted_as_laid_out() -> None:
    sink = io.BytesIO()
    column = pa.array(["y" * 8000], pa.string_view())
    index = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int8()), column.cast(pa.string()))
    table = pa.table({"prediction_id": index})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)

    with pytest.raises(PayloadTooLarge, match="text"):
        parse(sink.getvalue())


WHOLE = {name: FORMATS[name]([{"prediction_id": "p", "ts": AT.isoformat(), "x": 1.5, "s": "a"}] * 3) for name in ("arrow file", "arrow stream")}  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10**6), st.integers(0, 255))
def test_an_arrow_body_with_any_byte_changed_is_parsed_or_refused(name: str, place: int, byte: int) -> None:
    body = bytearray(WHOLE[name])
    body[place % len(body)] = byte
    try:
        whole = parse(bytes(body))
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())


@pytest.mark.parametrize("length", [-1, 2**31 - 1, 2**62])
def test_lengths_that_lie_are_refused(length: int) -> None:
    body = WHOLE["arrow stream"].replace(struct.pack("<q", 2), struct.pack("<q", length))

    with pytest.raises(PayloadError):
        parse(body)


def test_labels_come_in_the_same_formats() -> None:
    rows = [{"prediction_id": "a", "value": "x", "ts": AT.isoformat()}, {"prediction_id": "b", "value": "1", "ts": AT.isoformat()}]  # fmt: skip
    bodies = [FORMATS[n](rows) for n in ("ndjson", "csv", "parquet", "arrow stream")]
    bodies.append(json.dumps({"labels": rows}).encode())

    assert [labels.parse(b, AT, {"model": "m"}).tables["label"]["value_num"].to_list() for b in bodies] == [[None, 1.0]] * 5  # fmt: skip


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'\xef\xbb\xbf [1, "a" ,{"b": [2]}\n]', [1, "a", {"b": [2]}]), (b"[]", []), (b'{"rows": []}', []), (b'{"rows": [{}], "n": 1}', [{}]),
        (b'{"n": 1, "rows": [{}, {}]}', [{}, {}]), (b'{"rows": [0.1, 0.9]}', [{"rows": [0.1, 0.9]}]), (b'{\n "a": 1\n}', [{"a": 1}]), (b"", []),
        (b'{"a": 1}\n\n{"b": 2}\r\n', [{"a": 1}, {"b": 2}]), (b"nonsense", [Broken(b"nonsense")]),
    ],
)  # fmt: skip
def test_items_of_a_json_body_are_found_whatever_holds_them(body: bytes, found: list[Any]) -> None:
    assert list(items(body, "rows")) == found


@given(st.lists(st.text(max_size=3000) | st.floats(allow_nan=False) | st.integers(), max_size=300))
@settings(max_examples=25)
def test_an_array_is_read_piece_by_piece_as_it_would_be_whole(values: list[Any]) -> None:
    body = json.dumps(values * 20, ensure_ascii=False).encode("utf-8", "replace")

    assert list(items(body)) == json.loads(body)


def test_an_element_may_be_a_mebibyte_and_a_line_is_weighed() -> None:
    long, heavy = json.dumps({"a": "x" * 2 * ITEM_LIMIT}).encode(), b'{"a": [' + b"{}," * ITEM_LIMIT + b"0]}"

    assert [type(i) for i in items(long + b"\n" + heavy + b'\n{"a": 1}')] == [dict, Broken, dict]
    with pytest.raises(PayloadTooLarge, match="element"):
        list(items(b"[" + long + b"]"))
