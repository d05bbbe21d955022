"""Whether what an SLO lets Prometheus count can be counted: refused where it stands, before anybody asks.

Source: our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts import counting
from observe.errors import ConfigError
from observe.spec.quantity import Malformed

if TYPE_CHECKING:
    from alerts.promise import Sli
    from observe.spec import Config, Slo


def counted(slo: Slo, origin: str = "") -> Sli | None:
    """What Prometheus counts of an SLO; None where nothing is declared.

    Raises:
        ConfigError: it cannot be counted.
    """
    seen = slo.prometheus
    if seen is None:
        return None
    try:
        return counting.events(seen.total, errors=seen.errors or "", good=seen.good or "")
    except Malformed as error:
        place = f"{origin}: " if origin else ""
        raise ConfigError(f"{place}SLO {slo.name!r} cannot be counted: {error}", hint=error.hint) from None


def refuse(config: Config) -> None:
    """Complain about the first SLO that cannot be counted.

    Raises:
        ConfigError: with its place.
    """
    for model in config.models.values():
        for i, slo in enumerate(model.monitoring.slos if model.monitoring else ()):
            counted(slo, config.origins.get(f"models.{model.name}.slos.{i}.prometheus.total", ""))
