import numpy as np
import polars as pl
from streams import START, binning, levels

from detectors import exceedance, series


def test_the_bins_above_the_edge_nearest_to_p99_are_counted() -> None:
    known = binning("m/attempts/ttft_s")

    assert exceedance.bins(known) == [31]  # of 32 bins of equal mass
    assert exceedance.bins(known, 0.9) == [29, 30, 31]


def test_a_slower_tail_raises_the_share_above_the_references_p99() -> None:
    means = np.where(np.arange(200) >= 100, 0.3, 0.0)[:, None]
    rows = levels(means, 2000, 1, 300)
    known = binning("m/predictions/f0")

    ts, x, n = series.rates(rows, "exceedance", {known.binning_id: known})["m/predictions/f0"]

    assert ts[0] == int(START.timestamp())
    assert n.tolist() == [2000.0] * 200
    assert abs(x[:100].mean() - 2000 / 32) < 3
    assert x[100:].mean() > 1.5 * x[:100].mean()


def test_a_categorical_feature_has_no_p99() -> None:
    assert series.rates(pl.DataFrame(schema={"measure": pl.String, "binning_id": pl.String}), "exceedance", {}) == {}
