"""SLOs over minutes: a bad state lasts, so its minutes are not as many events."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.errorbudget import Minutes
from detectors.lanes import Walk
from observe.spec import Config, Model, Monitoring, Site
from observe.spec.burn import TIERS
from observe.spec.monitors import derive
from observe.spec.slos import STATE_MINUTES

DAY = 1_440


def fired(bad: np.ndarray, *, floor: bool) -> list[int]:
    """When a page of an SLO over minutes at 99 % fires."""
    watched = Monitoring.model_validate(
        {"metadata": {"name": "m"}, "slos": [{"name": "c", "cost": {"below": "1 USD"}, "objective": "99%"}]}
    )
    [monitor] = [m for m in derive(Config(Site(), {"m": Model("m", monitoring=watched)}), {}) if m.detector == "burn"]
    params = {k: v for k, v in monitor.params.items() if floor or k != "phi_floor"}
    walk = Walk(params, Minutes.of(0, np.ones(bad.size, dtype=np.int64), bad), 0, {})
    walk.to(bad.size)
    return [
        x.firing.at
        for m in walk.marks
        if m.changed
        for x in m.lanes
        if x.firing and x.firing.at == m.minute and x.severity == "page"
    ]


def lasting(minutes: int) -> np.ndarray:
    bad = np.zeros(6 * DAY, dtype=np.int64)
    bad[4 * DAY : 4 * DAY + minutes] = 1
    return bad


def test_an_hour_of_one_bad_state_pages_nobody_where_sixty_bad_requests_would() -> None:
    assert fired(lasting(60), floor=True) == []
    assert fired(lasting(60), floor=False) != []


def test_a_state_that_stays_pages_about_when_check_says_it_would() -> None:
    [at, *_] = fired(lasting(DAY), floor=True)
    watched = TIERS[1].convinced_s(0.99, 30 * 86_400.0, 11.0, (1, STATE_MINUTES))

    assert watched is not None
    assert at - 4 * DAY == pytest.approx(watched / 60, rel=0.35)
