"""Which rows a model's summaries are made of: the table, the model's rows in it, its features as columns.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import floor
from typing import TYPE_CHECKING, Any, Final, Protocol

from observe.schema import Json, Window
from observe.spec.performance import ESTIMATE, PERFORMANCE, WINDOW_S
from observe.summaries import labelled

if TYPE_CHECKING:
    import polars as pl

    from observe.schema import Noun
    from observe.spec.config import Model

FEATURE_S: Final = 300  # window of features and the error share, s
SLO_S: Final = 60  # window of SLOs, s
ATTEMPT_FEATURES: Final[Mapping[str, str]] = {
    "tokens_in": "numeric",
    "tokens_out": "numeric",
    "ttft_s": "numeric",
}  # watched unless listed


class Transaction(Protocol):
    """What is written inside one `Store.change()`."""

    def insert(self, nouns: Sequence[Noun]) -> object:
        """Append nouns of one class."""
        ...

    def insert_frame(self, table: str, frame: pl.DataFrame) -> object:
        """Append rows of a table."""
        ...

    def set_state(self, key: str, value: Json, judged_until: datetime | None) -> object:
        """Keep how far a stage came."""
        ...


class Rows(Protocol):
    """The store as summaries use it."""

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """Rows that answer `sql`."""
        ...

    def state(self, keys: Sequence[str] | None = None) -> Mapping[str, Json]:
        """What was kept by `set_state`."""
        ...

    def watermark(self) -> datetime | None:
        """When the newest row was stored."""
        ...

    def change(self) -> AbstractContextManager[Transaction]:
        """One writing transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """One table of one model: attempts, predictions, or the SLOs over its requests."""

    model: Model
    name: str  # attempts | predictions | slo | performance | estimate
    table: str | None = None  # where the model's predictions are, in schema `predictions`; None before the first one
    wait: timedelta = timedelta(0)  # lateness: how long after its end a window still takes rows
    given: Mapping[str, str] | None = field(default=None, kw_only=True)  # columns that `performance` names; None: all

    @property
    def key(self) -> str:
        """Of its state in the store."""
        return f"summaries/{self.model.name}/{self.name}"

    @property
    def window_s(self) -> int:
        """Length of its windows, s."""
        return {"slo": SLO_S, PERFORMANCE: WINDOW_S, ESTIMATE: WINDOW_S}.get(self.name, FEATURE_S)

    @property
    def relation(self) -> str:
        """The view its rows come from, as SQL."""
        if not self.of_predictions:
            return "attempt"
        rows, monitoring = f"predictions.{quoted(self.table or '')}", self.model.monitoring
        if self.name == "predictions" or monitoring is None or monitoring.performance is None:
            return rows
        said = monitoring.performance
        given = labelled.believed(said) if self.given is None else self.given
        return labelled.joined(said, rows, given) if self.name == PERFORMANCE else labelled.scored(said, rows, given)

    @property
    def exists(self) -> bool:
        """Whether there is a view to read: a model that has never sent a prediction has none."""
        return not self.of_predictions or self.table is not None

    @property
    def where(self) -> str:
        """Which rows of the view are this model's, as SQL over `$names` and `$clusters`."""
        if self.of_predictions:
            return "true"
        monitoring = self.model.monitoring
        clusters = " and (cluster is null or list_contains($clusters, cluster))"
        return "list_contains($names, model_id)" + (clusters if monitoring and monitoring.selector.clusters else "")

    @property
    def params(self) -> dict[str, Any]:
        """Values for `where`."""
        if self.of_predictions and self.name != PERFORMANCE:
            return {}
        clusters = self.model.monitoring.selector.clusters if self.model.monitoring else ()
        names = {"names": [self.model.name, *self.model.aliases]}
        return {**names, "clusters": list(clusters)} if clusters and not self.of_predictions else names

    @property
    def of_predictions(self) -> bool:
        """Whether its rows are predictions, with or without labels."""
        return self.name in ("predictions", PERFORMANCE, ESTIMATE)

    def reach(self, window: Window) -> Window:
        """Which rows of the store are wanted for those of `window`."""
        return labelled.reach(window) if self.name == PERFORMANCE else window

    def closed(self, now: datetime) -> datetime:
        """The end of the newest window that has closed."""
        seconds = floor((now - self.wait).timestamp())
        return datetime.fromtimestamp(seconds // self.window_s * self.window_s, now.tzinfo)


def tables(store: Rows) -> Mapping[str, str]:
    """Where each model's predictions are, by its exact name; tables ignore case, so `Fraud` and `fraud` have two."""
    return dict(store.read("select model, name from core.model_table").iter_rows())


def sources(model: Model, tables: Mapping[str, str], lateness_s: Mapping[str, float]) -> tuple[Source, ...]:
    """What is summarised of a model: its drift source, the outcome of its attempts, its SLOs.

    Args:
        model: with what is watched about it.
        tables: of predictions, see `tables`.
        lateness_s: how long a window waits for late rows, s, of attempts and of predictions.
    """
    monitoring = model.monitoring
    if monitoring is None:
        return ()
    drift = {monitoring.drift.source} if monitoring.drift else set()
    slos = {"slo", "attempts"} if monitoring.slos else set()
    waits = {name: timedelta(seconds=lateness_s[name]) for name in ("attempts", "predictions")}
    waits["slo"] = waits["attempts"]
    judged: tuple[str, ...] = ()
    if monitoring.performance is not None:
        judged = (PERFORMANCE, ESTIMATE)  # in this order: the second has the bins of the first
        waits[ESTIMATE] = waits["predictions"]
        waits[PERFORMANCE] = waits["predictions"] + timedelta(seconds=monitoring.performance.delay_s)
    return tuple(Source(model, name, tables.get(model.name), waits[name]) for name in (*sorted(drift | slos), *judged))


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
