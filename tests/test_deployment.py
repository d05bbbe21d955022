"""What an operator applies is valid, asks for no more than it needs, and calls commands that exist."""

import configparser
import json
import re
import shlex
import ssl
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from chains import Authority

FOLDER = "examples/kubernetes"
THEIRS = {"Kustomization", "Site", "Monitoring", "ServiceMonitor"}  # kinds that Kubernetes itself does not define


def documents(project: Path) -> list[dict[str, Any]]:
    files = sorted((project / FOLDER).rglob("*.yaml"))
    return [d for f in files for d in yaml.safe_load_all(f.read_text()) if d]


def pods(project: Path) -> list[dict[str, Any]]:
    return [d["spec"]["template"]["spec"] for d in documents(project) if d["kind"] in {"Deployment", "DaemonSet"}]


def arguments(argv: list[str]) -> str:
    """The help of the subcommand that `argv` calls; it must exist."""
    done = subprocess.run(
        [sys.executable, "-m", "observe", argv[0], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_manifest_is_valid_kubernetes(project: Path) -> None:
    ours = [d for d in documents(project) if d["kind"] not in THEIRS]

    assert len(ours) >= 11
    for document in ours:
        kubernetes_validate.validate(document, "1.35", strict=True)


@pytest.mark.kubectl
def test_kustomize_renders_what_the_folder_holds(project: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", project / FOLDER], capture_output=True, text=True, check=True)
    rendered = [d for d in yaml.safe_load_all(done.stdout) if d]

    for document in rendered:
        if document["kind"] not in THEIRS:
            kubernetes_validate.validate(document, "1.35", strict=True)
    kinds = [d["kind"] for d in rendered]
    wanted = {"Deployment", "DaemonSet", "Service", "ServiceMonitor", "PersistentVolumeClaim", "NetworkPolicy", "Role"}
    assert wanted <= set(kinds)
    assert kinds.count("ConfigMap") == 2
    assert all(d["metadata"].get("namespace") == "observe" for d in rendered if d["kind"] != "Namespace")


def test_pods_run_without_root_without_rights_and_without_a_token(project: Path) -> None:
    assert len(pods(project)) == 2
    for pod in pods(project):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_one_pod_owns_the_volume(project: Path) -> None:
    [service] = [d["spec"] for d in documents(project) if d["kind"] == "Deployment"]

    assert (service["replicas"], service["strategy"]["type"]) == (1, "Recreate")


def test_what_pods_and_units_call_exists_with_these_options(project: Path) -> None:
    called = [c["args"] for pod in pods(project) for c in pod["containers"]]
    for unit in sorted((project / "examples/systemd").glob("*.service")):
        known = configparser.RawConfigParser(strict=False)
        known.optionxform = str  # type: ignore[assignment,method-assign]
        known.read(unit)
        service = dict(known["Service"])
        called += [shlex.split(service[k])[1:] for k in ("ExecStartPre", "ExecStart") if k in service]

    assert len(called) == 5
    for argv in called:
        said = arguments(argv)
        assert all(option in said for option in argv if option.startswith("-")), argv


def test_the_example_site_is_accepted(project: Path) -> None:
    argv = [sys.executable, "-m", "observe", "check", "-q", "-c", str(project / FOLDER / "observe.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_services_and_probes_name_ports_that_exist(project: Path) -> None:
    [container] = [
        c for d in documents(project) if d["kind"] == "Deployment" for c in d["spec"]["template"]["spec"]["containers"]
    ]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    [service] = [d for d in documents(project) if d["kind"] == "Service"]
    site = next(d for d in documents(project) if d["kind"] == "Site")["server"]

    assert {p["targetPort"] for p in service["spec"]["ports"]} == set(ports)
    assert {container[p]["httpGet"]["port"] for p in ("startupProbe", "livenessProbe", "readinessProbe")} <= set(ports)
    assert {int(site[k].rpartition(":")[2]) for k in ("listen", "otlp", "ui")} == set(ports.values())


def test_the_image_copies_what_exists_and_ends_without_root(project: Path) -> None:
    lines = re.sub(r"\\\n", " ", (project / "Dockerfile").read_text()).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    copied = [p for step, rest in steps if step == "COPY" and "--from" not in rest for p in rest.split()[:-1]]
    ignored = (project / ".dockerignore").read_text().splitlines()

    assert all((project / p).exists() and f"!{p}" in ignored for p in copied)
    assert [rest for step, rest in steps if step == "USER"] == ["10001:10001"]
    assert sum(step == "FROM" for step, _ in steps) == 2
    assert any("--require-hashes" in rest for step, rest in steps if step == "RUN")


@pytest.mark.parametrize("is_tls", [False, True])
def test_the_health_check_of_the_image_hears_the_service_plain_and_over_tls(
    project: Path, tmp_path: Path, is_tls: bool
) -> None:
    [check] = re.findall(r"^HEALTHCHECK.*\\\n\s+CMD (\[.*\])$", (project / "Dockerfile").read_text(), re.MULTILINE)
    _, *argv = json.loads(check)

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    if is_tls:
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.load_cert_chain(*Authority(tmp_path).sign("server", "127.0.0.1"))
        server.socket = shown.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = [sys.executable, *(part.replace("8080", str(server.server_port)) for part in argv)]

    assert subprocess.run(asked, check=False, capture_output=True).returncode == 0
    server.shutdown()
    server.server_close()
    assert subprocess.run(asked, check=False, capture_output=True).returncode == 1


def test_the_image_gets_the_locked_versions_of_what_the_service_needs(project: Path) -> None:
    def locked(name: str) -> dict[str, str]:
        text = (project / name).read_text()
        return {m[1]: m[2] for m in re.finditer(r"^([a-z0-9_.\[\]-]+)==(\S+)", text, re.MULTILINE)}

    run, everything = locked("requirements-run.lock"), locked("requirements.lock")
    needs = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]

    assert run.items() <= everything.items()
    assert {re.split(r"[\[<>=;]", n)[0] for n in needs} <= set(run)
    assert not {"pytest", "mypy", "ruff", "playwright"} & set(run)
    assert "://" not in (project / "requirements-run.lock").read_text()


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(project: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(argv, cwd=project, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())

    packages = ("observe", "collectors", "detectors", "alerts", "dashboards")
    ours = {
        str(p.relative_to(project))
        for name in packages
        for p in (project / name).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert ours <= held
