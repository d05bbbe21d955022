"""What stands before the pages: sessions, origin, unknown paths, headers."""

from __future__ import annotations

from collections.abc import Iterator

import core
import httpx
import pytest
import world
from starlette.requests import Request
from starlette.responses import Response

from dashboards.login import inside


@pytest.fixture
def http(face: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=face, trust_env=False, timeout=30) as client:
        yield client


def post(http: httpx.Client, path: str, **form: str) -> httpx.Response:
    return http.post(path, data=form, headers={"Origin": str(http.base_url).rstrip("/")})


def test_the_session_cookie_is_strict_and_out_of_reach_of_scripts(http: httpx.Client) -> None:
    cookie = post(http, "/login", token=core.TOKEN).headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_page_without_a_session_leads_to_the_login_and_back(http: httpx.Client) -> None:
    answer = http.get("/gpu?range=6h")

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fgpu%3Frange%3D6h")


def test_an_ended_session_leads_to_the_login(http: httpx.Client) -> None:
    answer = http.get("/", headers={"Cookie": "observe_session=old"})

    assert answer.status_code == 303


def test_callbacks_need_a_session(http: httpx.Client) -> None:
    assert http.get("/_dash-layout").status_code == 401
    assert post(http, "/_dash-update-component", x="y").status_code == 401


def test_an_unknown_path_is_not_found(http: httpx.Client) -> None:
    post(http, "/login", token=core.TOKEN)

    assert [
        http.get(p).status_code for p in ("/nowhere", "/model", "/model/a/b", "/docs", "/openapi.json", "/.env")
    ] == [404] * 6


def test_a_change_asked_from_another_origin_is_refused(http: httpx.Client) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert http.post("/login", data={"token": core.TOKEN}, headers=headers).status_code == 403


def test_a_wrong_token_is_said_to_be_unknown_and_sets_nothing(http: httpx.Client) -> None:
    answer = post(http, "/login", token="<b>no</b>")

    assert answer.status_code == 401
    assert "not known" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_one_time_link_signs_in(http: httpx.Client) -> None:
    answer = http.get(f"/login?once={core.ONCE}&next=/gpu")

    assert (answer.status_code, answer.headers["location"]) == (303, "/gpu")
    assert "observe_session=" in answer.headers["set-cookie"]


def test_signing_out_ends_the_session_here_and_in_the_core(http: httpx.Client, seeded: core.Core) -> None:
    post(http, "/login", token=core.TOKEN)
    session = http.cookies["observe_session"]
    answer = post(http, "/logout", x="y")

    assert 'observe_session=""' in answer.headers["set-cookie"]
    assert session not in seeded.sessions


def test_every_answer_carries_the_policy(http: httpx.Client) -> None:
    for path in ("/login", "/nowhere", "/assets/page.css"):
        headers = http.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", "/a\nb"]
)
def test_after_the_login_one_stays_here(target: str) -> None:
    assert inside(target) == "/"


class AnybodyCore(core.Core):
    """A core that asks nobody for a token, as with `auth: none`."""

    async def answer(self, request: Request) -> Response:
        self.sessions.add(request.headers.get("authorization", "").removeprefix("Bearer "))
        return await super().answer(request)


def test_without_sign_in_no_page_answers_under_a_foreign_name(seeded: core.Core) -> None:
    from dashboards.face import application
    from dashboards.reader import CoreClient
    from observe.clock import EventClock

    with core.served(AnybodyCore(seeded.store).app) as url:
        client = CoreClient(url, core.FACE_KEY)
        with core.served(application(client, EventClock(world.NOW))) as face, httpx.Client(base_url=face) as http:
            evil = {
                "Host": "evil.example:8050",
                "Cookie": "observe_session=made-up",
            }  # a name that resolves to loopback
            codes = [
                http.get(path, headers=evil).status_code
                for path in (
                    "/",
                    "/incidents?id=inc-burn",
                    "/incidents/inc-burn/bundle",
                    "/_dash-layout",
                    "/login",
                    "/reports/x/report.md",
                )
            ]
            posted = http.post("/do", data={"act": "note"}, headers={**evil, "Origin": "http://evil.example:8050"})
            assert {*codes, posted.status_code} == {403}
            assert http.get("/").status_code == 200
            assert http.get("/assets/page.css", headers=evil).status_code == 200  # the same for everybody
        client.close()


def test_with_tokens_a_page_may_have_any_name(http: httpx.Client) -> None:
    assert http.get("/login", headers={"Host": "observe.example.com"}).status_code == 200
