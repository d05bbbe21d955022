"""The mapping file: complete, consistent with the tables, and refused when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors import mapping
from observe.errors import ConfigError


def test_every_cell_has_a_range_and_a_column_of_its_table() -> None:
    rules = mapping.load().rules.values()

    assert all(rule.low < rule.high < float("inf") for rule in rules)
    assert {rule.table for rule in rules} == {"gpu_sample", "serving_sample"}


def test_no_two_metrics_take_one_seat() -> None:
    seats = [(r.table, r.vendor, r.slot) for r in mapping.load().rules.values() if r.split is None]

    assert len(seats) == len(set(seats))


def test_all_spellings_of_no_value_are_known() -> None:
    m = mapping.load()
    blanks = [float(2**63 - k) for k in (13, 14, 15, 16)] + [2147483632.0, 2147483635.0, 140737488355328.0]

    assert all(m.blank("DCGM_FI_DEV_POWER_USAGE", v) for v in blanks)
    assert not m.blank("node_infiniband_port_data_received_bytes_total", 2147483632.0)


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [("gpu_sample.temp_c", "gpu_sample.temp_f", "no column 'temp_f'"), ("allow:", "alow:", "'allow' is missing")],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, find: str, put: str, says: str) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(mapping.FILE.read_text().replace(find, put))

    with pytest.raises(ConfigError, match=says):
        mapping.load(file)
