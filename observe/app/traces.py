"""Recorded traffic as arrivals with prompt and answer lengths: Azure's and Mooncake's traces, plain tables, or a seed.

Source: Azure Public Dataset, LLM inference traces 2023 (Splitwise, ISCA 2024): TIMESTAMP, ContextTokens,
GeneratedTokens; Mooncake, FAST 2025 (kvcache-ai/Mooncake, FAST25-release/traces): timestamp in ms, input_length,
output_length. The seeded trace has their shape: a daily swing, minutes that burst, log-normal lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from observe.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES: Final[tuple[Mapping[str, str], ...]] = (  # columns of time, prompt, answer
    {"at": "TIMESTAMP", "tokens_in": "ContextTokens", "tokens_out": "GeneratedTokens"},
    {"at": "timestamp", "tokens_in": "input_length", "tokens_out": "output_length"},
    {"at": "ts", "tokens_in": "tokens_in", "tokens_out": "tokens_out"},
)
_FEWEST: Final = 200  # requests that say something


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival: seconds since the first, tokens of prompt and answer."""

    name: str
    at: Floats
    tokens_in: Ints
    tokens_out: Ints

    @property
    def length_s(self) -> float:
        """From the first arrival to the last, s."""
        return float(self.at[-1]) if self.at.size else 0.0

    def part(self, start: float, end: float) -> Trace:
        """The requests that arrive in [start, end), from 0 on again."""
        chosen = (self.at >= start) & (self.at < end)
        return Trace(self.name, self.at[chosen] - start, self.tokens_in[chosen], self.tokens_out[chosen])

    def times(self, factor: int, seed: int) -> Trace:
        """As many requests times `factor`: each comes again with a delay of up to ten seconds."""
        if factor == 1:
            return self
        rng = np.random.default_rng(seed)
        at = np.concatenate([self.at, *(self.at + rng.uniform(0, 10, self.at.size) for _ in range(factor - 1))])
        order = np.argsort(at, kind="stable")
        lengths = (np.tile(x, factor)[order] for x in (self.tokens_in, self.tokens_out))
        return Trace(f"{self.name} x {factor}", at[order] - at[order][0], *lengths)


def read(path: Path) -> Trace:
    """A recorded trace.

    Raises:
        UsageError: it cannot be read, has none of the known columns, or too few rows.
    """
    frame = _table(path)
    names = next((n for n in NAMES if set(n.values()) <= set(frame.columns)), None)
    if names is None:
        forms = "; ".join(", ".join(n.values()) for n in NAMES)
        raise UsageError(f"{path}: no columns of arrivals and lengths; known are {forms}")
    try:
        at = _seconds(frame[names["at"]])
        lengths = [frame[names[n]].cast(pl.Int64).fill_null(0).to_numpy() for n in ("tokens_in", "tokens_out")]
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}") from error
    keep = np.isfinite(at)
    if keep.sum() < _FEWEST:
        raise UsageError(f"{path}: {int(keep.sum())} requests with a time; at least {_FEWEST} say something")
    order = np.argsort(at[keep], kind="stable")
    at = at[keep][order]
    return Trace(path.stem, at - at[0], *(np.maximum(n[keep][order], 0) for n in lengths))


def _table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise UsageError(f"{path} is not a file; name a trace: .csv, .jsonl or .parquet")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(path)
        return pl.read_csv(path, infer_schema_length=1000)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _seconds(column: pl.Series) -> Floats:
    """Seconds of instants as text or times, or of milliseconds as numbers; NaN where there is none."""
    if column.dtype.is_numeric():
        return np.asarray(column.cast(pl.Float64).fill_null(np.nan).to_numpy() / 1000)
    if column.dtype == pl.String:  # Azure writes seven digits of a second
        column = column.str.head(26).str.to_datetime(strict=False, time_unit="us")
    return np.asarray(column.dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy() / 1e6)


def synthetic(seed: int, *, days: float = 2.0, per_s: float = 1.0) -> Trace:
    """A trace of the recorded ones' shape: daily swing, gamma bursts by minute, log-normal lengths."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(int(days * 1440))
    swing = 1 + 0.7 * np.sin(2 * np.pi * (minutes / 1440 - 0.3))
    slow = np.exp(_wandering(rng, minutes.size, rho=0.98, sd=0.15))
    burst = rng.gamma(4.0, 1 / 4.0, minutes.size)
    counts = rng.poisson(60 * per_s * swing * slow * burst)
    at = np.sort(np.repeat(minutes * 60.0, counts) + rng.uniform(0, 60, int(counts.sum())))
    tokens_in = rng.lognormal(6.6, 1.1, at.size).astype(np.int64) + 1
    tokens_out = rng.lognormal(5.0, 0.9, at.size).astype(np.int64) + 1
    return Trace(
        f"synthetic, seed {seed}",
        at - (at[0] if at.size else 0.0),
        np.minimum(tokens_in, 32_000),
        np.minimum(tokens_out, 4_000),
    )


def _wandering(rng: np.random.Generator, n: int, rho: float, sd: float) -> Floats:
    steps = rng.normal(0, sd * np.sqrt(1 - rho**2), n)
    values = np.empty(n)
    level = 0.0
    for i, step in enumerate(steps):
        level = rho * level + step
        values[i] = level
    return values
