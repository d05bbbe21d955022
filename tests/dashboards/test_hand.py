"""Until when nobody is told: the page, the API and whoever tells all say the same."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from delivered import T0, site
from muted import opened, said, say

from alerts import muting
from dashboards import hand
from dashboards.reader import Value, used
from dashboards.scope import scope
from observe.app.commanding import incidents
from observe.app.declaring import declared
from observe.schema import Alert, Command, Incident
from observe.schema.exchange import nouns


@pytest.mark.parametrize("seed", range(8))
def test_muted_until_is_what_whoever_tells_goes_by(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    store, _ = opened(tmp_path)
    try:
        for verb, what, at, length in said(
            [tuple(int(v) for v in rng.integers((0, 0, 0), (8, 60, 90))) for _ in range(6)]
        ):
            say(store, verb, what, at, length)
        now = T0 + timedelta(seconds=60 + float(rng.integers(0, 60)))  # after every word that was said
        quiet = muting.Quiet(muting.mutes(nouns(Command, store.read("select * from command order by ts, command_id"))))
        alerts = {a.alert_id: a for a in nouns(Alert, store.read("select * from alert"))}
        (one,) = nouns(Incident, store.read("select * from incident"))
        free = quiet.free(muting.parts(one, alerts), now)
        rows = store.read("select incident_id, model, alerts from incident").to_dicts()
        page = hand.muted_until(
            lambda sql, params=None: store.read(sql, {k: v for k, v in (params or {}).items() if f"${k}" in sql}),
            rows,
            scope({"now": now.isoformat()}),
        )

        assert page.get("inc-1", now) == max(free, now)
        assert incidents(store, now)["muted_until"][0] == (free if free > now else None)
    finally:
        store.close()


def test_one_of_two_alerts_muted_does_not_mute_the_incident(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    try:
        say(store, "mute", "alr-1", 0, 60)
        assert incidents(store, T0 + timedelta(seconds=1))["muted_until"][0] is None
        say(store, "mute", "chat/burn/ttft2", 0, 30)
        assert incidents(store, T0 + timedelta(seconds=1))["muted_until"][0] == T0 + timedelta(seconds=30)
    finally:
        store.close()


def test_maintenance_of_the_files_counts_on_the_page_and_in_the_list(tmp_path: Path) -> None:
    config = site(tmp_path, '  maintenance: [{cron: "0 9 * * *", for: 1h, models: [chat], why: patches}]\n')
    store, _ = opened(tmp_path)
    try:
        store.set_setting("maintenance", declared(config)["maintenance"])
        now, end = T0 + timedelta(minutes=5), T0 + timedelta(hours=1)
        rows = store.read("select incident_id, model, alerts from incident").to_dicts()

        def read(sql: str, params: Mapping[str, Value] | None = None) -> pl.DataFrame:
            return store.read(sql, used(sql, params))

        assert hand.muted_until(read, rows, scope({"now": now.isoformat()})) == {"inc-1": end}
        assert incidents(store, now, config)["muted_until"][0] == end
        assert incidents(store, end, config)["muted_until"][0] is None
    finally:
        store.close()
