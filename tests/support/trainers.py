"""Trainers in small that take only what their published API allows: Airflow 3, Kubeflow Pipelines v2beta1, Argo Events."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from receivers import Heard

_POST_RUN = {  # TriggerDAGRunPostBody: type by field; nothing else is allowed, logical_date is required
    "dag_run_id": (str, type(None)), "data_interval_start": (str, type(None)), "data_interval_end": (str, type(None)),
    "logical_date": (str, type(None)), "run_after": (str, type(None)), "conf": (dict, type(None)), "note": (str, type(None)),
    "partition_key": (str, type(None)),
}  # fmt: skip
_RUN = {  # v2beta1Run: what a caller may write
    "experiment_id", "display_name", "description", "pipeline_version_reference", "runtime_config", "service_account",
}  # fmt: skip


def said(status: int, document: object) -> tuple[int, bytes]:
    return status, json.dumps(document).encode()


@dataclass
class Airflow:
    """Airflow 3 with simple users: runs by (dag, run id), each with its state; `refused` says why a request was not taken."""

    dags: dict[str, bool]  # name -> paused
    password: str = "secret-word"
    token: str = "jwt-1"
    runs: dict[tuple[str, str], dict] = field(default_factory=dict)  # type: ignore[type-arg]
    refused: list[str] = field(default_factory=list)

    def __call__(self, heard: Heard) -> tuple[int, bytes]:  # noqa: PLR0911 - a route each
        path = [unquote(p) for p in urlsplit(heard.path).path.split("/")[1:]]
        if path == ["auth", "token"]:
            return self._login(heard)
        if path[:2] != ["api", "v2"] or heard.headers.get("Authorization") != f"Bearer {self.token}":
            return self._refuse(401, "Invalid or unauthorized token")
        match heard.method, path[2:]:
            case "GET", ["dags"]:
                return said(200, {"dags": [], "total_entries": 0})
            case "GET", ["dags", dag] if dag in self.dags:
                return said(200, {"dag_id": dag, "is_paused": self.dags[dag]})
            case "POST", ["dags", dag, "dagRuns"] if dag in self.dags:
                return self._trigger(dag, heard)
            case "GET", ["dags", dag, "dagRuns", run] if (dag, run) in self.runs:
                return said(200, self.runs[dag, run])
        return self._refuse(404, f"{heard.method} {heard.path} was not found")

    def _login(self, heard: Heard) -> tuple[int, bytes]:
        if heard.json != {"username": "observe", "password": self.password}:
            return self._refuse(401, "Invalid credentials")
        return said(201, {"access_token": self.token})

    def _trigger(self, dag: str, heard: Heard) -> tuple[int, bytes]:
        body = heard.json
        wrong = [n for n, v in body.items() if n not in _POST_RUN or not isinstance(v, _POST_RUN[n])]
        if heard.headers.get("Content-Type") != "application/json" or "logical_date" not in body or wrong:
            return self._refuse(422, f"Extra inputs are not permitted or fields are missing: {wrong}")
        run = dag, body["dag_run_id"]
        if run in self.runs:
            return self._refuse(409, "Unique constraint violation")
        self.runs[run] = {
            "dag_run_id": run[1],
            "dag_id": dag,
            "state": "queued",
            "conf": body["conf"],
            "note": body["note"],
        }
        return said(200, self.runs[run])

    def _refuse(self, status: int, why: str) -> tuple[int, bytes]:
        self.refused.append(f"{status} {why}")
        return said(status, {"detail": why})


@dataclass
class Kubeflow:
    """Kubeflow Pipelines: pipelines by name with the inputs they declare, runs by id."""

    pipelines: dict[str, set[str]]
    token: str = "kfp-token"
    runs: dict[str, dict] = field(default_factory=dict)  # type: ignore[type-arg]

    def __call__(self, heard: Heard) -> tuple[int, bytes]:
        if heard.headers.get("Authorization") != f"Bearer {self.token}":
            return said(401, {"error": "Request header error: there is no user identity header.", "code": 16})
        url = urlsplit(heard.path)
        match heard.method, [unquote(p) for p in url.path.split("/")[1:]]:
            case "GET", ["apis", "v2beta1", "pipelines", "names", name] if name in self.pipelines:
                return said(200, {"pipeline_id": f"id-of-{name}", "display_name": name})
            case "GET", ["apis", "v2beta1", "runs"]:
                return self._listed({k: v[0] for k, v in parse_qs(url.query).items()})
            case "POST", ["apis", "v2beta1", "runs"]:
                return self._create(heard.json)
            case "GET", ["apis", "v2beta1", "runs", run] if run in self.runs:
                return said(200, self.runs[run])
        return said(404, {"error": "not found", "message": "ResourceNotFoundError", "code": 5})

    def _listed(self, asked: dict[str, str]) -> tuple[int, bytes]:
        if set(asked) - {"namespace", "experiment_id", "page_token", "page_size", "sort_by", "filter"}:
            return said(400, {"message": "unknown query parameter"})
        [only] = json.loads(asked["filter"])["predicates"]
        assert (only["operation"], only["key"]) == ("EQUALS", "display_name")
        found = [r for r in self.runs.values() if r["display_name"] == only["string_value"]]
        return said(200, {"runs": found, "total_size": len(found)} if found else {})

    def _create(self, body: dict) -> tuple[int, bytes]:  # type: ignore[type-arg]
        which = body["pipeline_version_reference"]
        name = str(which["pipeline_id"]).removeprefix("id-of-")
        extra = set(body["runtime_config"]["parameters"]) - self.pipelines[name]
        if set(body) - _RUN or set(which) - {"pipeline_id", "pipeline_version_id"}:
            return said(400, {"message": f"unknown field in {sorted(body)}"})
        if extra:
            return said(400, {"message": f"parameter(s) provided are not required by pipeline: {', '.join(extra)}"})
        run = {**body, "run_id": f"run-{len(self.runs) + 1}", "state": "PENDING"}
        self.runs[run["run_id"]] = run
        return said(200, run)


@dataclass
class Argo:
    """A webhook event source with an authSecret: one endpoint, POST only, JSON only."""

    token: str = "argo-token"
    endpoint: str = "/retrain"
    events: list[dict] = field(default_factory=list)  # type: ignore[type-arg]

    def __call__(self, heard: Heard) -> tuple[int, bytes]:
        if heard.path != self.endpoint:
            return 404, b"404 page not found"
        if heard.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, b"invalid auth token"
        if heard.method != "POST":
            return 400, b"http method does not match"
        self.events.append({"header": {k.lower(): v for k, v in heard.headers.items()}, "body": heard.json})
        return 200, b"success"


def is_of_mlflow(heard: Heard, secret: str) -> bool:
    """Whether a request is signed as MLflow's documentation says to verify it."""
    headers = {k.lower(): v for k, v in heard.headers.items()}
    content = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{heard.body.decode()}"
    digest = hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()
    return headers["x-mlflow-signature"] == "v1," + base64.b64encode(digest).decode()
