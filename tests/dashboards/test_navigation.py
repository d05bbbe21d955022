"""The sidebar's models: marked by what is known of them, never better than that."""

from pathlib import Path

import core
import polars as pl
import world

from dashboards import navigation
from dashboards.reader import CoreClient, SessionReader
from dashboards.scope import scope


def sidebar(folder: Path, findings: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """The sign's state of each model, of (kind, state) of its findings."""
    one = world.tables()["finding"].filter(state="ok").head(1)
    rows = [
        one.with_columns(
            model=pl.lit(model), kind=pl.lit(kind), state=pl.lit(state),
            finding_id=pl.lit(f"{model}-{k}"), monitor_id=pl.lit(f"{model}/{k}"), window_end=pl.lit(world.NOW),
        )
        for model, found in findings.items()
        for k, (kind, state) in enumerate(found)
    ]  # fmt: skip
    tables = {"collector_run": world.run_row(), "finding": pl.concat(rows)}
    with core.lake(folder, tables, {}) as store, core.served(core.Core(store).app) as url:
        client = CoreClient(url, core.FACE_KEY)
        read = SessionReader(client, client.session({"token": core.TOKEN}))
        view = scope({"now": world.NOW.isoformat()})
        known = navigation.known(read, view)
        client.close()
    links = [navigation._model(row, "/model/<name>", "/", view) for row in known["model"]]
    return {row["model"]: link.children[0].title for row, link in zip(known["model"], links, strict=True)}


def test_a_model_whose_objective_is_not_judged_is_not_ok(tmp_path: Path) -> None:
    shown = sidebar(
        tmp_path,
        {
            "judged": [("slo", "ok"), ("drift", "ok"), ("drift", "not_identifiable")],
            "unjudged": [("slo", "too_few"), ("drift", "ok")],
            "learning": [("drift", "learning")],
            "burning": [("slo", "alarm"), ("drift", "ok")],
        },
    )

    assert shown.pop("burning") != "ok"
    assert shown == {"judged": "ok", "unjudged": "unknown", "learning": "unknown"}
