"""`observe init` writes what `observe check` accepts without a warning, and never over anything."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.clock import EventClock, WallClock
from observe.errors import UsageError
from observe.schema import Batch, CollectorRun
from observe.spec import check, load
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def observe(*given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observe", *given], capture_output=True, text=True, timeout=120, check=False
    )


def attempts(model: str, n: int, seconds: float, *, asked: str | None = None, streamed: bool = True) -> pl.DataFrame:
    """A morning of a model: latencies with a long tail, one request in 200 fails, some are cancelled."""
    chance = random.Random(model)
    took = [seconds * chance.lognormvariate(0, 0.5) for _ in range(n)]
    return pl.DataFrame({
        "ts": [NOON - timedelta(seconds=5 * i) for i in range(n)],
        "ts_start": [NOON - timedelta(seconds=5 * i + took[i]) for i in range(n)],
        "attempt_id": [f"{model}-{i}" for i in range(n)], "trace_id": [f"{model}-t{i}" for i in range(n)],
        "model_id": [model] * n, "model_requested": [asked or model] * n, "cluster": ["eu-west"] * n,
        "duration_s": took, "ttft_s": [t / 10 if streamed else None for t in took],
        "status": ["error" if i % 200 == 7 else "cancelled" if i % 100 == 3 else "ok" for i in range(n)],
        "tokens_in": [int(100 * chance.lognormvariate(0, 1)) for _ in range(n)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped data directory as a gateway and a prediction service leave it."""
    path = tmp_path_factory.mktemp("seen") / "data"
    store = Store.open(path, EventClock(NOON))
    store.append(Batch("litellm", "1", {"attempt": attempts("chat", 3_000, 4.0, asked="gpt-4o-mini")}))
    store.append(Batch("litellm", "2", {"attempt": attempts("openai/text-embedding-3", 400, 0.2, streamed=False)}))
    store.append(Batch("otlp", "3", {"attempt": attempts("evil\n---\nkind: Site", 5, 1.0)}))
    fraud = pl.DataFrame({
        "ts": [NOON - timedelta(minutes=i) for i in range(300)], "prediction_id": [str(i) for i in range(300)],
        "amount": [float(i % 90) for i in range(300)], "country: code": ["DE", "FR", "US"] * 100,
    })  # fmt: skip
    store.append(Batch("predictions", "4", {"prediction:fraud": fraud}))
    store.close()
    return path


@pytest.fixture(scope="module")
def proposed(data: Path) -> Path:
    """What is proposed for that traffic."""
    folder = data.parent / "proposed"
    done = observe("init", str(folder), "--from-traffic", "-d", str(data))
    assert done.returncode == 0, done.stderr
    return folder


def test_what_is_written_checks_without_a_warning(tmp_path: Path) -> None:
    assert observe("init", str(tmp_path / "new")).returncode == 0
    config = load(tmp_path / "new" / "observe.yaml")

    assert config.warnings == ()
    assert sorted(config.models) == ["chat", "fraud"]


def test_nothing_is_overwritten_and_the_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.yaml").write_text("mine")

    done = observe("init", str(tmp_path))

    assert (done.returncode, (tmp_path / "models" / "chat.yaml").read_text()) == (2, "mine")
    assert f"{tmp_path}/models/chat.yaml exists already; nothing was written" in done.stderr
    assert not (tmp_path / "observe.yaml").exists()


def test_traffic_becomes_files_that_check_without_a_warning(proposed: Path) -> None:
    config = load(proposed / "observe.yaml")

    assert config.warnings == ()
    assert sorted(config.models) == ["chat", "evil-kind-site", "fraud", "openai-text-embedding-3"]
    assert config.models["chat"].aliases == ("gpt-4o-mini",)
    assert config.models["openai-text-embedding-3"].aliases == ("openai/text-embedding-3",)
    assert config.models["evil-kind-site"].aliases == ("evil\n---\nkind: Site",)
    assert {name: c.type for name, c in config.site.collectors.items()} == {
        "litellm": "litellm", "otlp": "otlp", "predictions": "predictions",
    }  # fmt: skip


def test_proposed_thresholds_lie_just_above_what_was_seen(proposed: Path) -> None:
    text = (proposed / "models" / "chat.yaml").read_text()
    monitoring = load(proposed / "observe.yaml").models["chat"].monitoring
    assert monitoring is not None
    seen = attempts("chat", 3_000, 4.0).filter(pl.col("status") != "cancelled")["ttft_s"].quantile(0.99, "linear")
    assert seen is not None

    ttft, _, availability = monitoring.slos
    assert ttft.threshold_s is not None
    assert seen <= ttft.threshold_s <= 1.35 * seen
    assert (ttft.objective, availability.objective) == (0.99, 0.98)
    assert "# observed: 99% of 2,970 requests had their first token within " in text
    assert "# observed: 99.4949% of 2,970 requests ended well" in text


def test_what_was_seen_too_little_gets_no_threshold_and_is_not_invented(proposed: Path) -> None:
    embeddings, rare = (
        (proposed / "models" / f"{n}.yaml").read_text() for n in ("openai-text-embedding-3", "evil-kind-site")
    )

    assert "# ttft: 0 requests are too few to propose a threshold" in embeddings
    assert "name: duration, latency: duration_s, below: 500ms, objective: 95%" in embeddings
    assert "# duration: 4 requests are too few to propose a threshold" in rare


def test_features_that_arrived_are_listed(proposed: Path) -> None:
    monitoring = load(proposed / "observe.yaml").models["fraud"].monitoring

    assert monitoring is not None
    assert monitoring.drift is not None
    assert [f.name for f in monitoring.drift.features] == ["amount", "country: code"]


def test_a_site_keeps_its_files_and_what_it_watches(data: Path, tmp_path: Path) -> None:
    (tmp_path / "observe.yaml").write_text(f"apiVersion: observe/v1\nkind: Site\nstore: {{path: {data}}}\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "own.yaml").write_text("apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: chat}\n")

    done = observe("init", "--from-traffic", "-c", str(tmp_path / "observe.yaml"))

    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [
        "evil-kind-site.yaml", "fraud.yaml", "openai-text-embedding-3.yaml", "own.yaml",
    ]  # fmt: skip
    assert check([], tmp_path / "observe.yaml").warnings == ()


def test_traffic_of_nobody_is_asked_for(tmp_path: Path) -> None:
    from observe.cli.init import run

    for given, said in (((None, None), "whose traffic"), ((tmp_path / "absent", None), "is not a directory")):
        with pytest.raises(UsageError, match=said):
            run(tmp_path / "new", from_traffic=True, data=given[0], site=given[1], quiet=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_running_service_is_asked_over_its_api(tmp_path: Path) -> None:
    import httpx
    from running import running

    with running(tmp_path) as service:
        now = WallClock().now().isoformat()
        lines = "\n".join(f'{{"ts": "{now}", "prediction_id": "{i}", "amount": {i}.5}}' for i in range(50))
        token = (tmp_path / "data" / "admin.token").read_text().strip()
        sent = httpx.post(
            f"http://127.0.0.1:{service.port}/ingest/predictions/risk", content=lines,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"},
        )  # fmt: skip
        assert sent.status_code == 200, sent.text
        done = observe("init", str(tmp_path / "proposed"), "--from-traffic", "-d", str(tmp_path / "data"))

    assert done.returncode == 0, done.stderr
    assert "- amount" in (tmp_path / "proposed" / "models" / "risk.yaml").read_text()


def test_odd_characters_of_a_name_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    from observe.cli.proposal import files
    from observe.cli.traffic import Predicted, Seen

    odd = (
        "grin \U0001f600",
        "tab\there",
        "nel\x85",
        "end\u2028",
        "bom\ufeff",
        "del\x7f",
        "high\U000e0001",
        "half\ud83d",
    )
    made = files(Seen(predicted=(Predicted("m", 9, odd),)), (), tmp_path / "data")
    path = tmp_path / "m.yaml"
    path.write_text(made["models/m.yaml"], encoding="utf-8")

    done = observe("check", str(path))
    drift = check([path], None).models["m"].monitoring.drift  # type: ignore[union-attr]

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "\U0001f600" in made["models/m.yaml"]
    assert drift is not None
    assert [f.name for f in drift.features] == [*odd[:-1], "half\ufffd"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")

    done = observe("init", str(tmp_path))

    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_only_targets_that_gave_samples_are_proposed(tmp_path: Path) -> None:
    from observe.cli.traffic import asking, seen

    store = Store.open(tmp_path / "data", EventClock(NOON))
    runs = [("gpus", "http://dcgm/metrics", 9), ("gpus", "http://empty/metrics", 0), ("spend", "http://litellm", 4)]
    store.append(
        Batch(
            "gpus",
            "1",
            {
                "metric_sample": pl.DataFrame(
                    {"ts": [NOON], "metric": ["up"], "labels": ["{}"], "kind": ["gauge"], "value": [1.0]}
                )
            },
        )
    )
    with store.change() as tx:
        tx.insert([CollectorRun(NOON, name, target, True, n, n, {}, None, None) for name, target, n in runs])
    store.close()

    with asking(tmp_path / "data") as ask:
        targets = seen(ask).targets

    assert targets == {"gpus": ("http://dcgm/metrics",)}
