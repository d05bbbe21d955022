"""How an alert reads: where it leads, and what its SLO counts."""

from pathlib import Path

import pytest
import yaml
from alarms import at, configured, finding

from alerts import policy, wording
from observe.app.ruling import ruled
from observe.schema import Alert

HOME = "http://observe.example.com"


def decided(folder: Path, **more: object) -> Alert:
    made = policy.decide([finding("chat/burn/ttft", 0, **more)], (), (), (), (), configured(folder), at(0))
    return made.alerts[0]


def test_an_alert_of_an_slo_leads_to_its_page_whichever_side_tells_of_it(tmp_path: Path) -> None:
    alert = decided(tmp_path)
    made = ruled([], tmp_path / "observe.yaml", "prometheus", {})
    rules = yaml.safe_load(made.files["rules/chat.slo.rules.yml"])
    told = {
        rule["alert"]: rule["annotations"]["dashboard_url"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule and rule["labels"]["slo_id"] == "chat.ttft"
    }

    assert alert.annotations["dashboard_url"] == f"{HOME}/slos?id=chat.ttft"
    assert told == dict.fromkeys(("SloBurn", "SloUnjudged"), f"{HOME}/slos?id=chat.ttft")


def test_an_slo_without_data_leads_to_its_page_and_a_silent_source_to_the_overview(tmp_path: Path) -> None:
    config = configured(tmp_path)
    slo = finding("chat/silence/ttft", 0, subject="SLO chat.ttft")
    source = finding("site/silence/gpus", 0)

    assert wording.dashboard_url(slo, config) == f"{HOME}/slos?id=chat.ttft"
    assert wording.dashboard_url(source, config).startswith(f"{HOME}/?from=")


def test_names_that_an_address_cannot_hold_are_written_so_that_it_can() -> None:
    assert wording.slo_url(f"{HOME}/", "a b/c&d.x") == f"{HOME}/slos?id=a%20b%2Fc%26d.x"
    assert wording.slo_url(None, "a.b") == ""


@pytest.mark.parametrize(
    ("counted", "said"), [("minutes", "900 minutes"), ("GPU minutes", "900 GPU minutes"), (None, "900 rows")]
)
def test_a_description_says_what_the_slo_counts(tmp_path: Path, counted: str | None, said: str) -> None:
    alert = decided(tmp_path, details={"counted": counted} if counted else {})

    assert alert.annotations["description"].endswith(f"Judged on {said}.")
