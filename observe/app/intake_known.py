"""What the configuration tells an intake: names of models, how old rows may be, whose cluster is whose.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from observe.spec.collecting import sent_cluster

if TYPE_CHECKING:
    from observe.spec import Config


@dataclass(frozen=True, slots=True)
class Known:
    """What the configuration tells an intake."""

    aliases: Mapping[str, str]  # model by any of its names
    told: Mapping[str, str]  # to every collector
    declared: frozenset[str]
    names: frozenset[str]  # of models, and all their others
    targets: Mapping[str, int]  # by collector
    clusters: Mapping[str, str | None]  # of what is sent to us, by way in


def known_from(config: Config) -> Known:
    """What `config` tells."""
    aliases = {alias: model.name for model in config.models.values() for alias in (model.name, *model.aliases)}
    accept = config.site.accept
    told = {"accept_past_s": str(accept.past_s), "accept_future_s": str(accept.future_s)}
    targets = {name: len(spec.targets) for name, spec in config.site.collectors.items()}
    names, clusters = frozenset({*config.models, *aliases}), sent_cluster(config.site.collectors)
    return Known(aliases, told, frozenset(config.models), names, targets, clusters)


def model_meant(names: tuple[str | None, ...], aliases: Mapping[str, str]) -> str | None:
    """The model that a row means by its names: the first that a spec knows, else the last that is one."""
    known = (aliases[name] for name in names if name and name in aliases)
    return next(known, None) or next((name for name in reversed(names) if name is not None), None)
