"""What every test may rely on: real programs, or a loud skip; in CI a missing one is a failure."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("observe", deadline=None)  # machines differ, and are busy at times
settings.load_profile("observe")
NEEDED = {
    "servers": ("prometheus", "prometheus-alertmanager", "promtool"),
    "browser": ("chromium",),
    "kubectl": ("kubectl",),
    "compiler": ("cc",),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, programs in NEEDED.items():
            missing = [p for p in programs if shutil.which(p) is None]
            if missing and item.get_closest_marker(marker):
                reason = f"not installed: {', '.join(missing)} (make ci-deps)"
                if os.environ.get("CI") == "true":
                    item.add_marker(pytest.mark.missing_program(reason))
                else:
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = item.get_closest_marker("missing_program")
    if missing:
        pytest.fail(missing.args[0], pytrace=False)


def pytest_terminal_summary(terminalreporter, exitstatus: int) -> None:  # type: ignore[no-untyped-def]
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"{len(skipped)} TESTS DID NOT RUN", sep="!", red=True)
        for report in skipped:
            terminalreporter.line(
                f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
            )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the project."""
    return Path(__file__).parent.parent
