"""The generated files before the real promtool and amtool: they are valid, they hold, and they can fail."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from promises import AVAILABILITY, BLIND, FOREIGN, LATENCY

from alerts import dialects, rulefiles

pytestmark = [pytest.mark.servers, pytest.mark.slow]
MINUTES = replace(AVAILABILITY, slo_id="chat.price", name="price", phi=60.0, tickets_only=True)
ALL = (AVAILABILITY, LATENCY, BLIND, FOREIGN, MINUTES)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [shutil.which(program) or program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    write(folder, rulefiles.plain_files(ALL, "abc", "https://observe.example.com"))
    return folder


def test_rules_and_alertmanager_accept_the_files(made: Path) -> None:
    checked = run("promtool", "check", "rules", *sorted((made / "rules").iterdir()))
    routed = run("amtool", "check-config", made / "alertmanager/observe.yml")

    assert (checked.returncode, routed.returncode) == (0, 0), checked.stdout + checked.stderr + routed.stdout


@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_in_a_dialect_the_rules_are_valid_and_hold(tmp_path: Path, dialect: str) -> None:
    write(tmp_path, rulefiles.plain_files((replace(AVAILABILITY, dialect=dialect),), "abc", None))

    tested = run("promtool", "test", "rules", tmp_path / "tests/chat.test.yml")
    assert run("promtool", "check", "rules", tmp_path / "rules/chat.slo.rules.yml").returncode == 0
    assert tested.returncode == 0, tested.stdout[:4000]


def test_burns_fire_in_their_tier_and_health_never(made: Path) -> None:
    tested = run("promtool", "test", "rules", *sorted((made / "tests").iterdir()))

    assert tested.returncode == 0, tested.stdout[:4000] + tested.stderr[:2000]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (r"ratio_rate1h\{[^}]*\}\) > 0\.0144", "ratio_rate1h{slo_id='x'}) > 0.0144"),  # the tier looks elsewhere
        (r"nats(1h|6h)\{([^}]*)\}\) > [\d.]+", r"nats\1{\2}) > 0.1"),  # the gate lets everything through
        (r"< 180\)", "< 18000)"),  # a judgement is fresh for hours
        (r" or 0 \* sum\([^)]*\)\n", "\n"),  # missing errors are not none
        (r"unless on \(slo_id\)", "and on (slo_id)"),  # Prometheus speaks only while the service does
        (r"== 1\n", ">= 0\n"),  # a quiet service fires
    ],
)
def test_the_tests_fail_when_the_rules_are_wrong(tmp_path: Path, right: str, wrong: str) -> None:
    files = rulefiles.plain_files((AVAILABILITY,), "abc", None)
    spoilt, times = re.subn(right, wrong, files["rules/chat.slo.rules.yml"])
    write(tmp_path, {**files, "rules/chat.slo.rules.yml": spoilt})

    assert times > 0
    assert run("promtool", "test", "rules", tmp_path / "tests/chat.test.yml").returncode == 1


def annotations(made: Path, folder: Path, fed: dict[str, str], expected: dict[str, str]) -> str:
    """What promtool says of an availability alert that has these annotations after twelve minutes."""
    wanted = {
        "eval_time": "12m",
        "alertname": "SloBurn",
        "exp_alerts": [
            {
                "exp_labels": {
                    "slo_id": "chat.availability", "service": "chat", "owner": "assistants", "severity": "page",
                    "burn_tier": "page-fast",
                },
                "exp_annotations": {
                    "summary": "chat.availability burns its error budget too fast: page-fast",
                    "description": (
                        "availability: promised 99.9% over 30d. At the rate of this tier 2% of the budget is gone within 1h."
                    ),
                    "runbook_url": "https://runbooks.example.com/chat",
                    **expected,
                },
            }
        ],
    }  # fmt: skip
    series = [{"series": name, "values": values} for name, values in fed.items()]
    groups = yaml.safe_load((made / "rules/chat.slo.rules.yml").read_text(encoding="utf-8"))["groups"]
    group = next(g for g in groups if g["name"] == "slo:chat.availability")
    group["rules"] = [r for r in group["rules"] if r.get("labels", {}).get("burn_tier", "page-fast") == "page-fast"]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [wanted]}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    done = run("promtool", "test", "rules", folder / "test.yml")
    return done.stdout if done.returncode else ""


TRAFFIC = {
    'requests_total{model="chat",code="200"}': "0+9500x20",
    'requests_total{model="chat",code="500"}': "0+500x20",
}


def test_the_stand_in_says_that_it_is_one_and_how_sure_it_is(made: Path, tmp_path: Path) -> None:
    by_prometheus = {
        "value": "50× the allowed rate",  # 500 of 10,000 where 0.1 % is allowed
        "interval": "95 % 47.9 … 52.2",  # 6,000 errors, bursts of 3: 50 · exp(±1.96·sqrt(3·0.95/6000))
        "source": "Prometheus, by generated rules; evidence above 9.8 nats asked for, bursts of 3",
        "sli": (
            'bad: sum(increase(requests_total{model="chat",code=~"5..|429"}[$window])); '
            'of: sum(increase(requests_total{model="chat"}[$window]))'
        ),
    }

    assert annotations(made, tmp_path, TRAFFIC, by_prometheus) == ""


def test_the_service_is_quoted_while_it_speaks(made: Path, tmp_path: Path) -> None:
    ident = 'slo_id="chat.availability"'
    said = {
        f"observe_slo_evaluated_timestamp_seconds{{{ident}}}": "0+60x20",
        f'observe_slo_firing{{{ident},severity="page",burn_tier="page-fast"}}': "1+0x20",
        f"observe_slo_burn_ratio{{{ident}}}": "21.5+0x20",
        f"observe_slo_burn_low_ratio{{{ident}}}": "18+0x20",
        f"observe_slo_burn_high_ratio{{{ident}}}": "25.25+0x20",
    }
    by_service = {
        "value": "21.5× the allowed rate", "interval": "95 % 18 … 25.2", "source": "Observe", "sli": "status = ok, by request",
    }  # fmt: skip

    assert annotations(made, tmp_path, TRAFFIC | said, by_service) == ""
