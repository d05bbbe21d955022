"""What the documents promise is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from observe.registry import names

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_between_documents_lead_somewhere(project: Path, name: str) -> None:
    text = (project / name).read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]

    assert [t for t in targets if t and not ((project / name).parent / t).exists()] == []


def test_the_readme_leads_to_every_document(project: Path) -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", (project / "README.md").read_text(encoding="utf-8")))

    assert [name for name in DOCUMENTS[1:] if name not in linked] == []


def test_the_files_of_the_readme_check_cleanly(project: Path, tmp_path: Path) -> None:
    site, model = re.findall(r"```yaml\n(.*?)```", (project / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "models").mkdir()
    (tmp_path / "observe.yaml").write_text(site)
    (tmp_path / "models" / "chat.yaml").write_text(model)

    done = subprocess.run(
        [sys.executable, "-m", "observe", "check", "-c", str(tmp_path / "observe.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_make_targets_of_the_readme_exist(project: Path) -> None:
    makefile = (project / "Makefile").read_text()
    asked = set(re.findall(r"make ([a-z-]+)", (project / "README.md").read_text()))

    assert [t for t in asked if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []


def test_the_house_in_the_readme_is_the_one_that_stands(project: Path) -> None:
    named = re.findall(r"^\| `([a-z/]+)`", (project / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert [n for n in named if not ((project / n).is_dir() or (project / f"{n}.py").is_file())] == []


def test_the_metrics_that_documents_name_are_told(project: Path) -> None:
    named = {
        m for name in DOCUMENTS for m in re.findall(r"observe_[a-z_]+", (project / name).read_text(encoding="utf-8"))
    }
    code = "".join(p.read_text() for p in (project / "observe").rglob("*.py"))

    assert [m for m in sorted(named) if f'"{m.removesuffix("_total")}' not in code and f'"{m}' not in code] == []


def test_the_plan_in_the_operations_manual_is_what_the_command_says(project: Path) -> None:
    manual = (project / "docs/operations.md").read_text(encoding="utf-8")
    [said] = re.findall(r"\$ observe (plan [^\n]+)\n(.*?)\n```", manual, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-m", "observe", *said[0].split()], capture_output=True, text=True, check=True
    )

    assert done.stdout.rstrip() == said[1]


@pytest.mark.parametrize("name", [*names("observe.detectors"), "compare", "backtest"])
def test_every_detector_has_a_page_with_a_picture_its_assumptions_and_its_sources(project: Path, name: str) -> None:
    page = (project / f"docs/detectors/{name}.md").read_text(encoding="utf-8")
    picture = (project / f"docs/detectors/img/{name}.svg").read_text(encoding="utf-8")

    assert f"(img/{name}.svg)" in page
    assert "Made by `python -m bench." in " ".join(page.split())
    assert re.search(r"\bassume", page, re.IGNORECASE)
    assert "Source: " in page
    assert picture.startswith("<svg")
    assert not re.search(r"<script|href=|src=|url\(|NaN|nan", picture)
