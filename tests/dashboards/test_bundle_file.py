"""A bundle through the face: what the core says is said on."""

import core
import httpx
import world
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def busy(request: Request) -> Response:
    return JSONResponse({"error": "another bundle is being made, try again in 7 s"}, 429, {"Retry-After": "7"})


def test_while_another_is_made_a_browser_is_told_when_to_ask_again() -> None:
    from dashboards.face import application
    from dashboards.reader import CoreClient
    from observe.clock import EventClock

    with core.served(Starlette(routes=[Route("/api/v1/incidents/{incident_id}/bundle", busy)])) as url:
        client = CoreClient(url, core.FACE_KEY)
        with core.served(application(client, EventClock(world.NOW))) as face:
            answer = httpx.get(f"{face}/incidents/inc-burn/bundle", trust_env=False, timeout=30)
        client.close()

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "another bundle is being made" in answer.text
