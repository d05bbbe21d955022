"""`observe rules`: what it writes, what it tells, what it exits with."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from observe.cli.rules import Options, run
from observe.clock import EventClock
from observe.errors import ConfigError, UsageError
from observe.schema import Finding
from observe.spec.refusal import ConfigErrors
from observe.store import Store

SITE = "apiVersion: observe/v1\nkind: Site\nalerts: {mode: rules}\n"
CHAT = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat, labels: {team: assistants}}
slos:
  - {name: ok, good: status = ok, objective: 99.9%, prometheus: {total: all_total, errors: bad_total}}
  - {name: ttft, latency: ttft_s, below: 800ms, objective: 99%}
"""
SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: ok
    objective: 99.9
    sli: {events: {error_query: 'sum(rate(bad_total[{{.window}}]))', total_query: 'sum(rate(all_total[{{.window}}]))'}}
"""


PYRRA = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api, namespace: monitoring}
spec: {target: "99", window: 30d, indicator: {ratio: {errors: {metric: bad_total}, total: {metric: all_total}}}}
"""


def options(folder: Path, form: str = "prometheus", *, diff: bool = False, directory: Path | None = None) -> Options:
    return Options(folder, form, diff, directory, quiet=False)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/chat.yaml").write_text(CHAT)
    (tmp_path / "observe.yaml").write_text(SITE)
    return tmp_path / "observe.yaml"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yml").write_text(SLOTH)
    return tmp_path / "shop.yml"


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_site_gives_rules_routes_and_tests_the_same_twice(site: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        command = [sys.executable, "-m", "observe", "rules", "-c", str(site), "-o", folder]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "2 SLOs, 4 files\n")

    assert written(tmp_path / "one") == [
        "alertmanager/observe.yml", "rules/chat.slo.rules.yml", "rules/observe-self.rules.yml", "tests/chat.test.yml",
    ]  # fmt: skip
    for path in written(tmp_path / "one"):
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_without_a_service_files_of_others_are_enough(shop: Path, tmp_path: Path) -> None:
    assert run([shop], None, options(tmp_path / "out")) == 0
    assert "rules/shop.slo.rules.yml" in written(tmp_path / "out")


def test_diff_writes_nothing_and_exits_with_1_while_something_would_change(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run([], site, options(out, diff=True)) == 1
    assert not out.exists()
    run([], site, options(out))
    capsys.readouterr()
    assert run([], site, options(out, diff=True)) == 0
    assert capsys.readouterr().out == ""
    (site.parent / "models/chat.yaml").write_text(CHAT.replace("99.9%", "99.5%"))

    assert run([], site, options(out, diff=True)) == 1
    assert "+++ b/rules/chat.slo.rules.yml" in capsys.readouterr().out


def test_what_is_no_longer_made_is_told_and_differs_but_what_others_wrote_stays_out_of_it(
    site: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run([shop], site, options(out))
    (out / "rules/own.rules.yml").write_text("groups: []\n")
    capsys.readouterr()

    assert run([], site, options(out, diff=True)) == 1
    assert "--- a/rules/shop.slo.rules.yml" in (shown := capsys.readouterr().out)
    assert "own.rules.yml" not in shown


def test_a_comment_changes_nothing(site: Path, tmp_path: Path) -> None:
    run([], site, options(tmp_path / "out"))
    (site.parent / "models/chat.yaml").write_text("# reviewed\n" + CHAT)

    assert run([], site, options(tmp_path / "out", diff=True)) == 0


def test_more_slos_share_one_budget_so_each_asks_for_more_evidence(site: Path, shop: Path, tmp_path: Path) -> None:
    run([], site, options(tmp_path / "alone"))
    run([shop], site, options(tmp_path / "both"))
    needed = [
        float((tmp_path / folder / "rules/chat.slo.rules.yml").read_text().partition("nats1h{slo_id=\"chat.ok\"}) > ")[2][:6])
        for folder in ("alone", "both")
    ]  # fmt: skip

    assert needed[0] < needed[1]


def test_a_site_that_pushes_is_told_that_rules_would_tell_twice(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(SITE.replace("rules}", "push}"))

    assert run([], site, options(tmp_path / "out")) == 0
    assert "warning: alerts.mode is push" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: prometheus/v1\nservice: s\nslos: [{name: a, objectiv: 99}]\n", "unknown field 'objectiv'"),
        ("version: prometheus/v1\nservice: s\nslos: [{name: a, objective: 100, sli: {}}]\n", "leaves no error budget"),
        ("apiVersion: openslo/v2alpha\nkind: SLO\nmetadata: {name: a}\n", "openslo/v2alpha SLO is not read"),
        ("version: prometheus/v1\nservice: s\nslos: []\n", "no SLO is declared"),
        (SLOTH.replace("service: shop", "service: 'sh{{op'"), r"'sh{{op\.ok' cannot name an SLO"),
        (PYRRA.replace("30d", "1h"), "monitoring.api can never alarm"),
    ],
)
def test_what_cannot_be_kept_is_an_error_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "slo.yml").write_text(text)

    with pytest.raises(ConfigError, match=said):
        run([tmp_path / "slo.yml"], None, options(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_all_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(SLOTH.replace("99.9", "1000"))
    (tmp_path / "b.yml").write_text(
        "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: {name: x}\n"
    )

    with pytest.raises(ConfigErrors) as error:
        run([tmp_path], None, options(tmp_path / "out"))
    assert len(error.value.errors) == 2


def test_a_query_of_ours_that_cannot_be_counted_is_refused_where_it_stands(site: Path, tmp_path: Path) -> None:
    (site.parent / "models/chat.yaml").write_text(CHAT.replace("all_total", "'sum(rate(all_total[5m]))'"))

    with pytest.raises(ConfigError, match=r"chat\.yaml:5:\d+: SLO 'ok' cannot be counted: a fixed range"):
        run([], site, options(tmp_path / "out"))


def test_data_that_is_not_there_is_refused(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        run([], site, options(tmp_path / "out", directory=tmp_path / "nowhere"))


def test_burst_factors_are_those_that_the_data_has_learnt_rounded_up(site: Path, tmp_path: Path) -> None:
    end = datetime(2026, 1, 5, tzinfo=UTC)
    learnt = Finding(
        finding_id="f", monitor_id="chat/burn/ok", detector="burn", model="chat", kind="slo", subject="ok", window_start=end,
        window_end=end, state="ok", severity="page", evidence_nats=0.0, threshold_nats=9.0, effect=0.0, unit="x budget",
        ci_low=None, ci_high=None, onset=None, onset_low=None, onset_high=None, n=10, note="", details={"phi": 3.4}, made_at=end,
    )  # fmt: skip
    store = Store.open(tmp_path / "data", EventClock(end))
    with store.change() as change:
        change.insert([learnt])
    store.close()

    assert run([], site, options(tmp_path / "out", directory=tmp_path / "data")) == 0
    assert "bursts of 5" in (tmp_path / "out/rules/chat.slo.rules.yml").read_text()


@pytest.mark.parametrize("form", ["prometheusrule", "openslo", "sloth", "pyrra"])
def test_every_form_is_written(site: Path, tmp_path: Path, form: str) -> None:
    assert run([], site, options(tmp_path / "out", form)) == 0
    assert all(f"{form}.yml" in name for name in written(tmp_path / "out"))
