"""docs/configuration.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observe.spec import ActionRule, Drift, Site
from observe.spec.catalogue import KINDS, fields
from observe.spec.document import render

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert render() == PAGE, "python -m observe.spec.document > docs/configuration.md"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_on_the_page(kind: str) -> None:
    told = set(re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE))

    assert {f.path for f in fields(kind) if f.inner is None} - told == set()


def test_the_defaults_on_the_page_are_those_in_effect() -> None:
    told = {
        cells[0].strip("`"): cells[3] for cells in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|", PAGE, re.M)
    }
    site, drift = Site().model_dump(by_alias=True, mode="json"), Drift().model_dump(by_alias=True, mode="json")
    rule = ActionRule(when="drift.confirmed", do="hold", target="a:b").model_dump(by_alias=True, mode="json")

    for name in ("listen", "otlp", "ui", "auth"):
        assert told[f"server.{name}"] == site["server"][name]
    assert (told["store.size"], told["accept.past"]) == (site["store"]["size"], site["accept"]["past"])
    assert (told["drift.window"], told["drift.minEffect"]) == (drift["window"], drift["minEffect"])
    assert (told["actions.N.cooldown"], told["actions.N.step"]) == (rule["cooldown"], str(rule["step"]))
    for table, kept in site["store"]["retain"].items():
        assert f"{table}: {kept}" in told["store.retain"]
