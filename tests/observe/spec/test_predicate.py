"""The grammar of good requests."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.spec.predicate import FIELDS, parse_predicate
from observe.spec.quantity import Malformed


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("status = ok", "\"status\" = 'ok'"),
        ("status=ok and duration_s<=2s", '"status" = \'ok\' AND "duration_s" <= 2'),
        (
            "http_status < 500 or status = ok and stream = true",
            '("http_status" < 500) OR ("status" = \'ok\' AND "stream" = TRUE)',
        ),
        ("team_id != 'it''s'", None),
        ("error_kind != rate_limited", "\"error_kind\" <> 'rate_limited'"),
        ('error_class = "o\'clock"', "\"error_class\" = 'o''clock'"),
        ("team_id = 'and'", "\"team_id\" = 'and'"),
    ],
)
def test_conditions_become_sql(text: str, sql: str | None) -> None:
    if sql is None:
        with pytest.raises(Malformed):
            parse_predicate(text)
    else:
        assert parse_predicate(text).sql == sql


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a condition is missing"),
        ("status", "is not a whole condition"),
        ("status = ok and", "a condition is missing"),
        ("status = ok status = ok", "expected 'and' or 'or'"),
        ("statsu = ok", "unknown field 'statsu'"),
        ("status = okay", "status is never 'okay'"),
        ("status > ok", "has no order"),
        ("duration_s < 2", "is not a duration"),
        ("http_status < five", "is a number"),
        ("stream = yes", "is true or false"),
        ("status = ok; drop table request", "has no place"),
        ("(status = ok)", "has no place"),
        (" and ".join(["status = ok"] * 40), "more than 32 conditions"),
    ],
)
def test_anything_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        parse_predicate(text)


@given(
    st.sampled_from([f for f, kind in FIELDS.items() if kind == "text" and f != "status"]),
    st.text(min_size=1, max_size=40),
)
def test_no_literal_can_leave_its_quotes(field: str, literal: str) -> None:
    try:
        condition = parse_predicate(f'{field} = "{literal}"').sql
    except Malformed:
        return
    connection = duckdb.connect(":memory:")
    (statement,) = connection.extract_statements(f"select {condition} from (select '' as \"{field}\")")
    assert str(statement.type).endswith("SELECT")


@given(st.text(max_size=80))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        assert parse_predicate(text).sql
    except Malformed:
        return
