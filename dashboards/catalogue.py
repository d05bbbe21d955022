"""What the site's configuration says about models and prices, as the core publishes it in `core.setting`.

Source: our own. Keys: `models` {name: facts and SLOs}, `prices` {accelerator type: USD per hour}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.reader import Reader

SETTINGS = "select key, value::VARCHAR as value from core.setting where key in ('models', 'prices')"
_COLUMNS = ("ttft_s", "tpot_s", "duration_s")  # columns of `request` that a latency SLO may name


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Declared models and prices; empty where nothing is declared."""

    models: Mapping[str, Mapping[str, Any]]
    prices: Mapping[str, float]

    def slo(self, model: str, name: str) -> Mapping[str, Any]:
        """The declaration of one SLO, empty when there is none."""
        return next((s for s in self.models.get(model, {}).get("slos", ()) if s.get("name") == name), {})

    def price(self, product: str | None) -> float | None:
        """USD per hour of a device: the price that names it most closely, every word of which its product name holds.

        >>> Catalogue({}, {"h100-80gb": 2.9}).price("NVIDIA H100 80GB HBM3")
        2.9
        """
        words = set(re.split(r"[^a-z0-9]+", (product or "").lower()))
        named = [(len(set(k.lower().split("-"))), k) for k in self.prices if set(k.lower().split("-")) <= words]
        return self.prices[max(named)[1]] if named else None


def catalogue(read: Reader) -> Catalogue:
    """The catalogue as now published."""
    found = {row["key"]: json.loads(row["value"] or "{}") for row in read(SETTINGS).iter_rows(named=True)}
    return Catalogue(found.get("models") or {}, found.get("prices") or {})


def bad_request(slo: Mapping[str, Any]) -> str | None:
    """SQL that is true for a bad request of this SLO, and NULL for what it does not count; None when it counts no requests.

    The same as its budget is counted by: a failed request is bad. The text of `good_sql` and `total_sql` comes from the
    validated configuration, never from data.

    >>> bad_request({"kind": "latency", "column": "ttft_s", "threshold_s": 0.8})
    "case when true then status = 'error' or ttft_s > 0.8 end"
    """
    bad = None
    if slo.get("kind") == "latency" and slo.get("column") in _COLUMNS and slo.get("threshold_s"):
        bad = f"{slo['column']} > {float(slo['threshold_s'])}"
    elif slo.get("kind") == "good" and slo.get("good_sql"):
        bad = f"not ({slo['good_sql']})"
    return None if bad is None else f"case when {slo.get('total_sql') or 'true'} then status = 'error' or {bad} end"


def title(name: str, slo: Mapping[str, Any]) -> str:
    """An SLO as people say it: "ttft < 800 ms"."""
    from dashboards import words

    if slo.get("kind") == "latency" and slo.get("threshold_s"):
        return f"{name} < {words.seconds(float(slo['threshold_s']))}"
    return name
