"""The command line: data on stdout, talk on stderr, exit codes that mean something."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from observe.clock import WallClock
from observe.schema import Batch
from observe.store import Store

BROKEN = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos:
  - {name: ttft, latency: ttft_s, belw: 800ms, objective: 99%}
"""


def observe(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "observe", *arguments], capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stopped data directory with two predictions."""
    path = tmp_path_factory.mktemp("stopped") / "data"
    store = Store.open(path, WallClock())
    now = WallClock().now()
    frame = pl.DataFrame(
        {"ts": [now, now], "prediction_id": ["a", "b"], "amount": [1.5, None], "country": ["DE", "<b>"]}
    )
    store.append(Batch("test", "1", {"prediction:fraud": frame}))
    store.close()
    return path


def ask(data: Path, output: str) -> bytes:
    done = observe(
        "sql",
        'select prediction_id, amount, country from predictions."fraud" order by 1',
        "-d",
        str(data),
        "--format",
        output,
    )
    assert done.returncode == 0, done.stderr
    assert b"2 rows" in done.stderr
    return done.stdout


def test_json_is_an_array_of_objects(data: Path) -> None:
    assert json.loads(ask(data, "json")) == [
        {"prediction_id": "a", "amount": 1.5, "country": "DE"},
        {"prediction_id": "b", "amount": None, "country": "<b>"},
    ]


@pytest.mark.slow
def test_csv_and_parquet_hold_the_same_rows(data: Path) -> None:
    assert pl.read_csv(io.BytesIO(ask(data, "csv"))).equals(pl.read_parquet(io.BytesIO(ask(data, "parquet"))))


def test_lists_and_structs_are_json_in_csv(data: Path) -> None:
    done = observe(
        "sql", "select ['a', 'b'] as l, {'n': 1} as s, null::varchar[] as none", "-d", str(data), "--format", "csv"
    )

    assert pl.read_csv(io.BytesIO(done.stdout)).rows() == [('["a", "b"]', '{"n": 1}', None)]


def test_a_table_is_for_people(data: Path) -> None:
    lines = ask(data, "table").decode().splitlines()

    assert lines[0].split() == ["prediction_id", "amount", "country"]
    assert lines[2].split() == ["b", "<b>"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select nothing from incident", b"nothing"),
        ("drop table incident", b"SELECT"),
        ("select * from read_text('/etc/passwd')", b"error:"),
    ],
)
def test_a_query_that_cannot_be_answered_exits_2_and_says_why(data: Path, query: str, said: bytes) -> None:
    done = observe("sql", query, "-d", str(data))

    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_directory_that_is_none_exits_2(tmp_path: Path) -> None:
    assert observe("sql", "select 1", "-d", str(tmp_path / "none")).returncode == 2


def test_a_misspelt_field_is_shown_with_its_place_and_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text(BROKEN)

    done = observe("check", str(path))

    assert (done.returncode, done.stdout) == (2, b"")
    shown = done.stderr.decode()
    assert "error: unknown field 'belw'" in shown
    assert "chat.yaml:5:35" in shown
    assert "did you mean 'below'?" in shown


def test_a_good_configuration_shows_defaults_and_their_origin(project: Path) -> None:
    done = observe("check", "-c", str(project / "examples" / "observe.yaml"))

    assert done.returncode == 0, done.stderr
    assert "# default" in done.stdout.decode()


def test_the_effective_configuration_can_be_had_as_json(project: Path) -> None:
    done = observe("check", "-c", str(project / "examples" / "observe.yaml"), "--json")

    assert json.loads(done.stdout)


def test_a_missing_site_exits_2_without_a_traceback(tmp_path: Path) -> None:
    done = observe("up", "-c", str(tmp_path / "none.yaml"))

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"none.yaml" in done.stderr


def test_help_names_every_command_without_loading_heavy_packages() -> None:
    code = (
        "import sys; from observe.cli import app; from typer.testing import CliRunner; print(CliRunner().invoke(app, ['--help']).output);"
        "print([m for m in ('duckdb', 'polars', 'dash', 'scipy', 'pandas', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert all(name in done.stdout for name in ("demo", "up", "check", "sql", "version"))
    assert done.stdout.rstrip().endswith("[]")
