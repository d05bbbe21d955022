"""A flood of names meets a cap, and what is declared or seen lately stays told apart."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from collectors import cardinality
from collectors.cardinality import FORGOTTEN, OTHER, SERIES, VALUES, Cardinality
from observe.schema import Parsed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def attempts(**columns: list[object]) -> Parsed:
    frame = pl.DataFrame(columns)
    return Parsed({"attempt": frame}, frame.height)


def test_the_first_200_tenants_are_told_apart_and_the_others_are_one() -> None:
    cap = Cardinality()
    found = cap.capped("otlp", attempts(team_id=[f"t{i}" for i in range(VALUES + 50)] * 2), (), 1, NOON)

    assert found.tables["attempt"]["team_id"].n_unique() == VALUES + 1
    assert (found.notes, found.offered) == ({"other_team_id": 100}, 500)


def test_values_stay_told_apart_across_bodies_and_others_get_room_when_they_are_gone() -> None:
    cap = Cardinality()
    cap.capped("otlp", attempts(model_id=[f"m{i}" for i in range(VALUES)]), (), 1, NOON)
    flood = attempts(model_id=["new", "m0", "chat"])

    assert cap.capped("otlp", flood, {"chat"}, 1, NOON).tables["attempt"]["model_id"].to_list() == [OTHER, "m0", "chat"]
    assert cap.capped("litellm", flood, {"chat"}, 1, NOON) is flood
    assert cap.capped("otlp", flood, (), 1, NOON + 3 * FORGOTTEN) is flood


def test_tags_are_capped_one_by_one() -> None:
    cap = Cardinality()
    found = cap.capped("otlp", attempts(tags=[[f"x{i}" for i in range(VALUES)], ["x0", "new"], None]), (), 1, NOON)

    assert found.tables["attempt"]["tags"].to_list()[1:] in ([["x0", OTHER], None], [["x0", "new"], None])
    assert found.notes == {"other_tags": 1}


def page(series: int, folded: int | None = None) -> Parsed:
    """Histograms of two buckets, a sum and a count, as a scraped page has them."""
    rows = [
        (f"h{part}", f'{{"a":"{i}"{le},"z":"1"}}', kind)
        for i in range(series)
        for part, kind, le in (
            ("_bucket", "bucket", ',"le":"0.5"'), ("_bucket", "bucket", ',"le":"+Inf"'), ("_sum", "sum", ""), ("_count", "count", ""),
        )
    ]  # fmt: skip
    frame = pl.DataFrame(rows, ["metric", "labels", "kind"], orient="row")
    return Parsed({"metric_sample": frame}, frame.height, folded=folded)


def test_more_series_than_a_target_may_have_are_rejected_whole_and_known_ones_go_on() -> None:
    cap, whole = Cardinality(), page(SERIES + 7, folded=4 * (SERIES + 7))
    found = cap.capped("gpus", whole, (), 1, NOON)
    again = cap.capped("gpus", found, (), 1, NOON + timedelta(minutes=90))
    left = found.tables["metric_sample"]

    assert found.rejected == {"too_many_series": 7 * 4}
    assert found.items + sum(found.rejected.values()) == found.offered
    assert left.group_by(pl.col("labels").str.extract('"a":"([0-9]+)"')).len()["len"].unique().to_list() == [4]
    assert again is found
    assert cap.capped("other", whole, (), 2, NOON) is whole


def test_series_of_all_senders_together_have_an_end_and_gone_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cardinality, "MOST", 100)
    cap = Cardinality()
    admitted = sum(cap.admits("otlp", f"pod-{i}", ("m", str(i)), NOON) for i in range(500))
    held = sum(known.taken for known in cap._known.values())
    later = NOON + 3 * FORGOTTEN

    assert (admitted, held) == (50, 100)  # a sender and a series each
    assert cap.admits("otlp", "pod-499", ("m", "499"), later)
    assert sum(known.taken for known in cap._known.values()) == 2


def test_label_names_without_end_are_folded_too() -> None:
    cap, notes = Cardinality(), Counter[str]()
    folded = cap.fold("otlp", {f"l{i}": "x" for i in range(VALUES + 3)}, notes, NOON)

    assert list(folded.values()).count(OTHER) == notes["label_value_folded"] == 3
