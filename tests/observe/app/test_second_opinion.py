"""Evidently is asked in a process that may fail without harm, and that can call nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import drifted
import pytest

from dashboards.report_facts import gather
from observe.app.evidently_child import columns, plain
from observe.app.second_opinion import second_opinion


@pytest.mark.slow
def test_evidently_sees_the_planted_shift_and_names_of_data_stay_text(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        facts = gather(store, "fraud", drifted.WEEK, drifted.END)
        told = second_opinion(store, facts, tmp_path / "page.html")

    assert told.why_not is None
    assert (told.current_rows, told.reference_rows) == (3000, 3000)
    assert [(c.column, c.drifts) for c in told.columns if c.column != drifted.EVIL] == [
        ("amount", True),
        ("age", False),
    ]
    page = (tmp_path / "page.html").read_text()
    assert drifted.SCRIPT not in page
    assert "default-src 'none'" in page


def test_a_child_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        facts = gather(store, "fraud", drifted.WEEK, drifted.END)
        told = second_opinion(store, facts, tmp_path / "page.html", module="observe.nowhere")

    assert "No module named observe.nowhere" in (told.why_not or "")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(2, 2).sendto(b'x', ('127.0.0.1', 9))",
    ],
)
def test_the_child_can_open_no_connection(call: str) -> None:
    code = f"import socket; from observe.app.evidently_child import confine; confine(); {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "may open no connection" in done.stderr


def test_the_child_cannot_grow_without_limit() -> None:
    code = "from observe.app.evidently_child import confine; confine(); bytearray(5 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "MemoryError" in done.stderr


def test_a_p_value_says_drift_below_its_threshold_and_a_distance_above() -> None:
    def metric(method: str, value: float) -> dict[str, object]:
        return {"config": {"column": "x", "method": method, "threshold": 0.1}, "value": value}

    told = {
        "metrics": [
            metric("K-S p_value", 0.01),
            metric("Wasserstein distance (normed)", 0.01),
            {"config": {}, "value": {}},
        ]
    }

    assert [c["drifts"] for c in columns(told, {})] == [True, False]


def test_text_ends_no_script() -> None:
    assert "<" not in plain(drifted.EVIL)
