"""How much devices of different products are worth beside each other, and groups of them by cluster.

Two H100 and eight L4 are not two against eight. A device counts with its declared price where every
product of the window has one, else with its memory where that is known of every product, else as one;
a mixture of these would compare dollars with gigabytes. Devices of one product always count the same.

Source: our own.
Assumes: what a device can do is in proportion to its price or memory. That is rough: an H100 has 3.3 times
the memory of an L4, about four times its rent and eight times its dense bf16 rate. Declare prices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ALL: Final = "*"  # the product of a whole cluster


@dataclass(frozen=True, slots=True)
class Weights:
    """What one device of a product counts, and what that was taken from."""

    basis: str  # price | memory | count
    of: Mapping[str, float]  # USD/h, GiB, or 1, by product


@dataclass(frozen=True, slots=True)
class Group:
    """Devices of one product in one cluster, or all of a cluster, in one window."""

    cluster: str
    sku: str
    devices: int
    util: float  # mean over capacity, 0-1
    idle: int
    saturated: int
    capacity: float
    idle_capacity: float
    saturated_capacity: float
    alone: bool = True  # whether it is all that its cluster has
    products: int = 1

    @property
    def whole(self) -> bool:
        """Whether it is a cluster of several products."""
        return self.sku == ALL

    @property
    def called(self) -> str:
        """What its devices are called."""
        return f"GPUs of {self.products} products" if self.whole else self.sku


def weights(rows: Sequence[Mapping[str, Any]], prices: Mapping[str, float]) -> Weights:
    """What a device of each product counts in one window.

    Args:
        rows: of `gpu_5m`: sku, mem_total_mib.
        prices: USD an hour by accelerator type; a product is of the type that names it most closely.

    >>> weights([{"sku": "NVIDIA H100 80GB HBM3"}, {"sku": "NVIDIA L4"}], {"h100-80gb": 2.9, "l4": 0.7})
    Weights(basis='price', of={'NVIDIA H100 80GB HBM3': 2.9, 'NVIDIA L4': 0.7})
    """
    memory = {_named(row["sku"]): float(row.get("mem_total_mib") or 0.0) / 1024 for row in rows}
    rent = {sku: price(sku, prices) for sku in memory}
    for basis, found in (("price", rent), ("memory", memory)):
        if memory and min(found.values()) > 0:
            return Weights(basis, found)
    return Weights("count", dict.fromkeys(memory, 1.0))


def price(sku: str, prices: Mapping[str, float]) -> float:
    """USD an hour of a device: the price that names it most closely, every word of which its product holds; else 0.

    >>> price("NVIDIA H100 80GB HBM3", {"h100": 2.4, "h100-80gb": 2.9})
    2.9
    """
    words = set(re.split(r"[^a-z0-9]+", sku.lower()))
    named = [(len(set(kind.lower().split("-"))), kind) for kind in prices if set(kind.lower().split("-")) <= words]
    return float(prices[max(named, key=lambda pair: (pair[0], pair[1]))[1]]) if named else 0.0


def _named(sku: str | None) -> str:
    return sku or "?"


def groups(rows: Sequence[Mapping[str, Any]], held: Weights) -> list[Group]:
    """The products of each cluster in one window; those without devices are left out.

    Args:
        rows: of `gpu_5m`: cluster, sku, devices, util_mean, idle_devices, saturated_devices.
        held: what a device of each product counts.
    """
    some = [row for row in rows if row["devices"]]
    products: dict[str, set[str]] = {}
    for row in some:
        products.setdefault(row["cluster"] or "?", set()).add(_named(row["sku"]))
    return [_group(row, held.of[_named(row["sku"])], alone=len(products[row["cluster"] or "?"]) == 1) for row in some]


def _group(row: Mapping[str, Any], each: float, *, alone: bool) -> Group:
    devices, idle, saturated = (int(row[name] or 0) for name in ("devices", "idle_devices", "saturated_devices"))
    return Group(
        row["cluster"] or "?", _named(row["sku"]), devices, float(row["util_mean"] or 0.0), idle, saturated,
        each * devices, each * idle, each * saturated, alone,
    )  # fmt: skip


def wholes(parts: Sequence[Group]) -> list[Group]:
    """Clusters of several products, each as one."""
    clusters: dict[str, list[Group]] = {}
    for part in parts:
        if not part.alone:
            clusters.setdefault(part.cluster, []).append(part)
    return [_whole(cluster, mine) for cluster, mine in sorted(clusters.items())]


def _whole(cluster: str, parts: Sequence[Group]) -> Group:
    capacity = sum(p.capacity for p in parts)
    util = sum(p.util * p.capacity for p in parts) / capacity
    return Group(
        cluster, ALL, sum(p.devices for p in parts), util, sum(p.idle for p in parts), sum(p.saturated for p in parts), capacity,
        sum(p.idle_capacity for p in parts), sum(p.saturated_capacity for p in parts), products=len(parts),
    )  # fmt: skip
