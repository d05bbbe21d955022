"""Clusters as declared: where data may lie, how far apart they are."""

from pathlib import Path

import pytest

from observe.errors import ConfigError
from observe.spec import Config, load
from observe.spec.clusters import may_lie, rtt_between

SITE = """\
apiVersion: observe/v1
kind: Site
store: {path: ./data}
clusters:
  eu-west: {provider: aws, region: eu-west-1, residency: eu, rtt: {us-east: 85ms}, egressPerGB: 0.02 USD}
  us-east: {provider: gcp, region: us-east4, residency: us}
  lab: {}
"""
MODEL = "apiVersion: piqc.ai/v1alpha1\nkind: ModelSpec\nmetadata: {name: chat%s}\nspec: {governance: {compliance: {pii: {%s}}}}\n"


def site(folder: Path, annotations: str = "", pii: str = "", text: str = SITE) -> Config:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "observe.yaml").write_text(text)
    (folder / "models/chat.yaml").write_text(MODEL % (annotations, pii))
    return load(folder / "observe.yaml")


@pytest.mark.parametrize(("annotations", "pii"), [(", annotations: {residency: EU}", ""), ("", "policy: eu-only")])
def test_data_stays_where_it_is_declared_to_stay(tmp_path: Path, annotations: str, pii: str) -> None:
    config = site(tmp_path, annotations, pii)
    spec, clusters = config.models["chat"].spec, config.site.clusters

    assert [may_lie(spec, c, clusters)[0] for c in ("eu-west", "us-east", "lab", "elsewhere")] == [
        True,
        False,
        None,
        None,
    ]
    assert may_lie(spec, "us-east", clusters)[1] == "its data must stay in eu; us-east is in us"


def test_personal_data_without_a_declared_residency_is_nothing_we_can_judge(tmp_path: Path) -> None:
    config = site(tmp_path, pii="allowed: true")

    assert may_lie(config.models["chat"].spec, "eu-west", config.site.clusters)[0] is None
    assert may_lie(site(tmp_path).models["chat"].spec, "us-east", config.site.clusters)[0] is True


def test_a_distance_said_on_one_side_holds_on_both(tmp_path: Path) -> None:
    clusters = site(tmp_path).site.clusters

    assert rtt_between("us-east", "eu-west", clusters) == rtt_between("eu-west", "us-east", clusters) == 0.085
    assert (rtt_between("lab", "lab", clusters), rtt_between("lab", "us-east", clusters)) == (0.0, None)
    assert clusters["eu-west"].egress_usd_gb == 0.02


def test_an_unknown_word_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'residency'"):
        site(tmp_path, text=SITE.replace("residency: us", "residence: us"))
