"""`observe rules`: Prometheus rules, Alertmanager routes and promtool tests from what is declared.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from observe.cli.directory import opened, present
from observe.errors import StoreLocked, UsageError

Form = Literal["prometheus", "prometheusrule", "openslo", "sloth", "pyrra", "scalers"]
_PHI: Final = "select slo_id, phi from slo_status where phi is not null"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked."""

    output: Path
    form: Form
    diff: bool
    directory: Path | None
    quiet: bool
    dialect: Literal["sloth", "pyrra"] | None = None


def command(  # noqa: PLR0913, PLR0917 - a command's options
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders: Monitoring, OpenSLO v1, Sloth, Pyrra.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder they are written into.")] = Path(
        "observe-rules"
    ),
    form: Annotated[
        Form,
        typer.Option(
            "--as", help="Rule files, objects of the Prometheus operator, the SLOs themselves, or what scalers read."
        ),
    ] = "prometheus",
    dialect: Annotated[
        Literal["sloth", "pyrra"] | None,
        typer.Option("--dialect", help="Record under their names, too, for dashboards that were made for them."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change, exit 1 if any.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Site configuration.", envvar="OBSERVE_CONFIG")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="Data whose burst factors the rules go by; else 3.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")] = False,
) -> None:
    """Write Prometheus rules, Alertmanager routes and promtool tests of all SLOs; needs no running service."""
    site = config if config or files else Path("observe.yaml")
    raise typer.Exit(run(files or [], site, Options(output, form, diff, directory, quiet, dialect)))


def run(files: Sequence[Path], site: Path | None, options: Options) -> int:
    """Write the files, or with `--diff` show what would change and exit with 1 when something would."""
    from observe.app.ruling import ruled

    made = ruled(files, site, options.form, _learnt(options.directory), options.dialect or "")
    for note in () if options.quiet else made.notes:
        sys.stderr.write(f"warning: {note}\n")
    stale = _stale(options.output, made.files)
    if options.diff:
        return _differs(options.output, made.files, stale)
    for path, text in made.files.items():
        _write(options.output / path, text)
    for path in stale:
        sys.stderr.write(f"warning: {options.output / path} is no longer made; remove it\n")
    if not options.quiet:
        sys.stdout.write("".join(f"{options.output / path}\n" for path in made.files))
        slos = "1 SLO" if len(made.promises) == 1 else f"{len(made.promises)} SLOs"
        sys.stderr.write(f"{slos}, {len(made.files)} files\n" if made.promises else f"{len(made.files)} files\n")
    return 0


def _learnt(directory: Path | None) -> Mapping[str, float]:
    """Burst factors that a data directory has learnt, of a running service or a stopped one."""
    if directory is None:
        return {}
    try:
        with opened(present(directory)) as store:
            rows = store.read(_PHI)
    except StoreLocked:
        from observe.cli.service import owner
        from observe.cli.sql import through

        rows = through(_PHI, owner(directory), True)[0]
    return dict(rows.iter_rows())


def _stale(folder: Path, made: Mapping[str, str]) -> list[str]:
    """Files that were made once and would not be made now."""
    from observe.app.ruling import is_made

    rules = ("rules/*.yml", "tests/*.yml", "alertmanager/*.yml", "*.yml")
    patterns = ("scaling/*.yaml",) if any(name.startswith("scaling/") for name in made) else rules
    found = (p for pattern in patterns for p in folder.glob(pattern))
    paths = {str(p.relative_to(folder)): p for p in found if p.is_file()}
    return sorted(name for name, path in paths.items() if name not in made and is_made(_read(path)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _differs(folder: Path, made: Mapping[str, str], stale: Sequence[str]) -> int:
    lines = list(_difference(folder, {**made, **dict.fromkeys(stale, "")}))
    sys.stdout.writelines(lines)
    return 1 if lines else 0


def _difference(folder: Path, made: Mapping[str, str]) -> Iterator[str]:
    import difflib

    for name, text in sorted(made.items()):
        old = _read(folder / name)
        yield from difflib.unified_diff(
            old.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"a/{name}" if old else "/dev/null",
            f"b/{name}" if text else "/dev/null",
        )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
