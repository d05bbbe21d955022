"""The house keeps its shape: sizes, docstrings, layers, plugins."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from observe.registry import GROUPS, names, plugin

ROOT = Path(__file__).parent.parent
PACKAGES = ("observe", "collectors", "detectors", "alerts", "dashboards")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = {
        f"{p.relative_to(ROOT)}:{f.name}": size
        for p in MODULES
        for f in functions(p)
        if (size := (f.end_lineno or 0) - f.lineno + 1) > 60
    }

    assert long == {}


def test_every_module_says_what_it_is_for_and_where_it_comes_from() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in MODULES
        if p.name not in {"__init__.py", "__main__.py"}
        and "Source:" not in (ast.get_docstring(tree(p)) or "")
        and p != ROOT / "observe" / "errors.py"
    ]

    assert silent == []


def test_every_detector_states_what_it_assumes() -> None:
    silent = [n for n in names("observe.detectors") if "Assumes:" not in (plugin("observe.detectors", n).__doc__ or "")]

    assert silent == []


def test_imports_keep_to_the_contracts() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_plugin_has_what_its_group_asks_for(group: str) -> None:
    assert all(plugin(group, name) for name in names(group))


def test_an_unknown_plugin_is_told_what_there_is() -> None:
    with pytest.raises(LookupError, match="no detector named 'shfit'; there are: burn, canary, estimate, gauge"):
        plugin("observe.detectors", "shfit")


def test_the_lock_holds_versions_and_hashes_but_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()

    assert "://" not in lock
    assert not [line for line in lock.splitlines() if line.startswith("-")]
