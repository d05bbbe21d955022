"""The route of a bundle: a zip for whoever may look, 404 for what is not there."""

import io
import zipfile
from pathlib import Path

import pytest
from delivered import alert, incident
from inprocess import in_process


@pytest.mark.slow
def test_a_bundle_is_a_zip_and_nothing_is_not_found(tmp_path: Path) -> None:
    with in_process(tmp_path) as (client, core):
        with core.store.change() as tx:
            tx.insert([alert()])
            tx.insert([incident()])
        answer = client.request("GET", "/api/v1/incidents/inc-1/bundle")
        missing = [
            client.request("GET", f"/api/v1/incidents/{name}/bundle").status_code
            for name in ("inc-9", "..", "%2e%2e", "a%0d%0ab")
        ]

    assert answer.headers["content-disposition"] == 'attachment; filename="inc-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as held:
        assert "inc-1/incident.json" in held.namelist()
    assert missing == [404] * 4


@pytest.mark.slow
def test_a_viewer_gets_no_rows_of_requests_and_one_with_sql_does(tmp_path: Path) -> None:
    with in_process(tmp_path, auth="token") as (client, core):
        with core.store.change() as tx:
            tx.insert([alert()])
            tx.insert([incident()])
        admin = core.people.permit("admin", core.new_admin_token)
        said = []
        for name, sql in (("looks", False), ("asks", True)):
            token, _ = core.tokens.make(admin, name, "viewer", sql=sql)
            answer = client.request(
                "GET", "/api/v1/incidents/inc-1/bundle", headers={"Authorization": f"Bearer {token}"}
            )
            with zipfile.ZipFile(io.BytesIO(answer.content)) as held:
                said.append(held.read("inc-1/README.txt").decode())

    assert ["left out" in text for text in said] == [True, False]
