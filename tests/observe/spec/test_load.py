"""Files become one configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import Config, ConfigErrors, Effect, Rate, check, load

EXAMPLES = Path(__file__).parents[3] / "examples"
SITE = "apiVersion: observe/v1\nkind: Site\n"
MONITORING = "apiVersion: observe/v1\nkind: Monitoring\n"
SPEC = "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\n"


def written(folder: Path, site: str, **models: str) -> Config:
    (folder / "observe.yaml").write_text(SITE + site)
    (folder / "models").mkdir(exist_ok=True)
    for name, text in models.items():
        (folder / "models" / f"{name}.yaml").write_text(text)
    return load(folder / "observe.yaml")


@pytest.mark.parametrize("site", sorted(EXAMPLES.rglob("observe.yaml")), ids=lambda p: p.parent.name)
def test_every_example_checks_without_a_warning(site: Path) -> None:
    assert load(site).warnings == ()


def test_the_large_example_is_understood() -> None:
    config = load(EXAMPLES / "observe.yaml")
    chat = config.models["llama-70b-chat"]

    assert config.site.false_alarms == {"page": Rate(1, 90 * 86_400.0), "ticket": Rate(1, 7 * 86_400.0)}
    assert config.site.collectors["gpus"].every_s == 15
    assert config.site.prices == {"h100-80gb": 2.9}
    assert chat.spec is not None
    assert chat.monitoring is not None
    assert chat.monitoring.drift is not None
    assert (chat.spec.min_replicas, chat.spec.max_replicas) == (2, 12)
    assert chat.aliases == ("llama-3.3-70b",)
    ttft, availability = chat.monitoring.slos
    assert (ttft.kind, ttft.column, ttft.threshold_s, ttft.objective) == ("latency", "ttft_s", 0.8, 0.99)
    assert (availability.kind, availability.good_sql, availability.objective) == ("good", "\"status\" = 'ok'", 0.999)
    assert [f.min_effect for f in chat.monitoring.drift.features] == [Effect(10.0, "%"), Effect(0.2, "sigma")]


def test_an_empty_site_gets_defaults_beside_its_file(tmp_path: Path) -> None:
    config = written(tmp_path, "")

    assert config.site.store.path == tmp_path / "data"
    assert config.site.server.listen == "127.0.0.1:8080"
    assert config.origins["site.store.path"] == "default"


def test_every_value_tells_where_it_comes_from(tmp_path: Path) -> None:
    config = written(tmp_path, "store: {size: 2GB}\n", m=MONITORING + "metadata: {name: m}\ndrift: {window: 10m}\n")

    assert config.origins["site.store.size"] == f"{tmp_path}/observe.yaml:3:15"
    assert config.origins["models.m.drift.window"] == f"{tmp_path}/models/m.yaml:4:17"
    assert config.origins["models.m.drift.minEffect"] == "default"


def test_a_model_needs_no_modelspec_and_may_be_only_a_name(tmp_path: Path) -> None:
    config = written(tmp_path, "", a="name: a\naliases: [gpt]\n", b=MONITORING + "metadata: {name: b}\n")

    assert config.models["a"].aliases == ("gpt",)
    assert config.models["b"].monitoring is not None
    assert config.models["b"].spec is None


def test_a_target_latency_becomes_an_slo_when_none_is_declared(tmp_path: Path) -> None:
    scaling = "spec: {identity: {model: {task: chat}}, operations: {scaling: {targetLatencyMsP95: 800}}}\n"
    config = written(tmp_path, "", m=SPEC + "metadata: {name: m}\n" + scaling)

    monitoring = config.models["m"].monitoring
    assert monitoring is not None
    (slo,) = monitoring.slos
    assert (slo.name, slo.column, slo.threshold_s, slo.objective) == ("latency", "ttft_s", 0.8, 0.95)
    assert config.origins["models.m.slos.0.below"] == f"targetLatencyMsP95 at {tmp_path}/models/m.yaml:4:84"


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ("slos: [{name: ok, good: status = ok, objective: 99%}]", ["ok", "latency"]),
        ("slos: [{name: latency, good: status = ok, objective: 99%}]", ["latency", "latency-p95"]),
        ("slos: [{name: fast, latency: ttft_s, below: 1s, objective: 99%}]", ["fast"]),
        ("slos: [{name: ok, good: status = ok, objective: 99%}]\nderivedSlos: off", ["ok"]),
        ("derivedSlos: off", []),
    ],
)
def test_the_default_slo_is_there_unless_one_about_latency_is_declared_or_it_is_switched_off(
    tmp_path: Path, more: str, names: list[str]
) -> None:
    spec = SPEC + "metadata: {name: m}\nspec: {operations: {scaling: {targetLatencyMsP95: 800}}}\n---\n"
    config = written(
        tmp_path,
        "",
        m=spec + MONITORING + f"metadata: {{name: m}}\n{more}\n",
    )

    monitoring = config.models["m"].monitoring
    assert monitoring is not None
    assert [slo.name for slo in monitoring.slos] == names


def test_all_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as refused:
        written(tmp_path, "stroe: {}\nserver: {listen: nowhere}\n", m=MONITORING + "metadata: {name: M}\n")

    assert [e.message for e in refused.value.errors] == [
        "unknown field 'stroe'",
        "'nowhere' is not host:port",
        "'M' is not a name",
    ]


def test_a_name_claimed_twice_means_nobody(tmp_path: Path) -> None:
    config = written(tmp_path, "", a="name: a\naliases: [x, b]\n", b="name: b\naliases: [x]\n")

    assert (config.models["a"].aliases, config.models["b"].aliases) == ((), ())
    assert [w.split(":")[0] for w in config.warnings] == [
        "the name 'b' is claimed by a, b",
        "the name 'x' is claimed by a, b",
    ]


def test_what_deserves_a_second_look_is_a_warning(tmp_path: Path) -> None:
    site = 'collectors: {f: {type: files, path: "x/*.parquet", model: nobody}}\n'
    slo = "slos: [{name: ok, good: status = ok, objective: 90%}]\nactions: [{when: slo.ok.page, do: scale, target: 'keda:m'}]\n"
    config = written(tmp_path, site, m=MONITORING + "metadata: {name: m}\n" + slo)

    assert [w.split(":")[0] for w in config.warnings] == [
        "collector 'f' feeds model 'nobody', which no ModelSpec, Monitoring or bare model declares",
        "model 'm', SLO 'ok'",
        "model 'm'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drift: {skew: {file: ../../etc/passwd}}", "leads out of the configuration's folder"),
        ("drift: {features: [a, a]}", "listed twice"),
        ("drift: {window: 1m}", "judged on summaries of 5m"),
        ("drift: {window: 7m}", "5m, 10m, 15m, 20m, 30m or 1h"),
        ("drift: {source: attempts, features: [tokns_in]}", "attempts have no column 'tokns_in'"),
        ("drift: {reference: {last: 28d, pinned: auto}}", "either pinned or the last so long"),
        ("drift: {reference: {last: 90d}}", "learnt from 7 d to 28 d"),
        ("drift: {reference: {from: 2026-02-01, to: 2026-01-01}}", "must end after it starts"),
        ("drift: {features: [{name: a, kind: categorical, minEffect: 10%}]}", "in pp of a share"),
        ("slos: [{name: a, latency: ttft_s, objective: 99%}]", "latency and below go together"),
        ("slos: [{name: a, objective: 99%}]", "needs either latency or good"),
        ("slos: [{name: a, latency: ttft, below: 1s, objective: 99%}]", "did you mean 'ttft_s'?"),
        ("actions: [{when: slo.x.page, do: scale, target: 'keda:m'}]", "waits for SLO 'x'"),
        ("actions: [{when: drift.confirmed, do: scale, target: 'keda:m'}]", "drift, which is not watched"),
        ("actions: [{when: tuesday, do: scale, target: 'keda:m'}]", "'tuesday' never happens"),
        ("share: 120%", "more than everything"),
        ("canary: {rollbackAt: 0.5x}", "it must be more than 1"),
        ("slos: {name: a}", "expected a list, got a mapping"),
    ],
)
def test_a_monitoring_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, "", m=MONITORING + "metadata: {name: m}\n" + text + "\n")

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shares: {slo: 50%, drift: 20%, fleet: 10%}", "shares add up to 0.8"),
        ("shares: {slo: 60%, drift: 40%}", "could never notify anyone"),
        ("collectors: {x: {type: prometheus}}", "needs targets"),
        ("collectors: {x: {type: files, path: a}}", "needs path and model"),
        ("collectors: {x: {type: otlp, targets: ['http://a']}}", "has no targets"),
        ("collectors: {x: {type: events, path: a}}", "reads no files"),
        ("collectors: {x: {type: {a: 1}}}", "collectors.x.type"),
        ("collectors: {x: {type: prometheus, targets: ['http://me:pw@a']}}", "must not hold credentials"),
        ("models: ../*.yaml", "leads out of the configuration's folder"),
        ("alerts: {mode: both}", "'both' is not one of the choices"),
        ("server: {auth: none, ui: ':8050'}", "can be reached from elsewhere"),
        ("server: {auth: none, otlp: '10.0.0.1:4318'}", "can be reached from elsewhere"),
        ("server: {tls: {cert: a.pem}}", "missing field 'key'"),
    ],
)
def test_a_site_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, text + "\n")

    assert said in str(refused.value)


def test_two_ways_in_of_one_kind_with_different_clusters_are_told_apart_by_nobody(tmp_path: Path) -> None:
    (warning,) = written(
        tmp_path, "collectors: {a: {type: otlp, labels: {cluster: eu}}, b: {type: otlp}, c: {type: litellm}}\n"
    ).warnings

    assert warning.startswith("collectors 'a' and 'b' do not agree about their cluster")


def test_an_open_address_with_tokens_is_allowed_and_no_tls_is_none(tmp_path: Path) -> None:
    server = written(tmp_path, "server: {listen: '0.0.0.0:8080', tls: }\n").site.server

    assert (server.listen, server.auth, server.tls) == ("0.0.0.0:8080", "token", None)


def test_nothing_to_check_and_a_file_without_site_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\n")

    with pytest.raises(ConfigError, match="nothing to check"):
        check([], None)
    with pytest.raises(ConfigError, match="holds no Site"):
        load(tmp_path / "x.yaml")
    assert list(check([tmp_path], None).models) == ["x"]


def test_a_secret_is_resolved_but_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBSERVE_TEST_TOKEN", "hunter2")
    (tmp_path / "token").write_text("hunter3\n")
    by_name = written(tmp_path, "server: {token: env:OBSERVE_TEST_TOKEN}\n").site.server.token
    by_file = written(tmp_path, "server: {token: file:token}\n").site.server.token

    assert by_name is not None
    assert by_file is not None
    assert (by_name.resolve(), by_file.resolve()) == ("hunter2", "hunter3")
    assert "hunter" not in f"{by_name} {by_name!r} {by_file}"


def test_importing_the_configuration_stays_clear_of_heavy_things() -> None:
    heavy = "duckdb polars numpy pandas scipy dash pyarrow"
    code = f"import sys, observe.spec.explain; print([m for m in {heavy.split()!r} if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("store: {size: 0B}", "at least 1MB"),
        ("store: {size: 1kB}", "at least 1MB"),
        ("store: {retain: {attempt: 0s}}", "at least 1h"),
        ("store: {retain: {attempt: 1ms}}", "at least 1h"),
        ("store: {retain: {finding: 7d}}", "at least 30d"),
        ("collectors: {a: {type: nvml, every: 1ms}}", "at least 100ms"),
        ("collectors: {a: {type: nvml, every: 4000000d}}", "at most 36500d"),
        ("falseAlarms: {page: 1 per 40000d}", "at most 36500d"),
    ],
)
def test_what_could_only_be_a_slip_is_refused_with_the_bound(tmp_path: Path, wrong: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, wrong + "\n")

    assert hint in refused.value.hint
