"""The options of `observe backtest`, as they were written and as they are meant.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from observe.errors import UsageError
from observe.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from observe.app.backtest_plan import Options

T = TypeVar("T")

_TAKES: Final[Mapping[str, frozenset[str]]] = {  # of --policy; what judges by detectors takes all but --set
    "scaling": frozenset({"--set"}),
    "retraining": frozenset({"--set", "--time", "--features", "--fit", "--window", "--budget", "--min-effect"}),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options as they were written; None where the past decides."""

    time: str | None = None
    features: str | None = None
    fit: str | None = None
    window: str | None = None
    budget: str | None = None
    min_effect: str | None = None
    inject: tuple[str, ...] = ()
    rows_or_series: Literal["rows", "series"] | None = None
    accept: str | None = None
    since: str | None = None
    rules: bool = False


def refuse_unused(policy: str | None, asked: Asked, written: Sequence[str]) -> None:
    """Refuse options that would change nothing.

    Args:
        policy: of `--policy`.
        asked: the other options.
        written: of `--set`.

    Raises:
        UsageError: one of them says nothing here.
    """
    given = {f"--{name.replace('_', '-')}": value for name, value in asdict(asked).items()} | {"--set": written}
    given["--as"] = given.pop("--rows-or-series")
    where = f"with --policy {policy}" if policy else "without --policy"
    takes = _TAKES[policy] if policy else given.keys() - {"--set"}
    for option in (o for o, value in given.items() if value and o not in takes):
        raise UsageError(f"{option} says nothing {where}; leave it out")


def settings(written: Sequence[str], known: Mapping[str, tuple[str, Callable[[str], Any]]]) -> dict[str, Any]:
    """What `--set name=value` means, by the name it has inside.

    Args:
        written: as they were written.
        known: by the name that people write, the name inside and how its value is read.

    Raises:
        UsageError: an unknown name, or a value without sense.
    """
    from observe.spec.quantity import Malformed

    made: dict[str, Any] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if name not in known or not equals:
            hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
            raise UsageError(f"--set {text}: no such setting; {hint}")
        to, parse = known[name]
        try:
            made[to] = parse(value)
        except Malformed as error:
            raise UsageError(f"--set {text}: {error}; {error.hint}") from error
    return made


def options(asked: Asked) -> Options:
    """The options, read.

    Raises:
        UsageError: one is not written as expected; it says how.
    """
    from observe.app.backtest_plan import Options
    from observe.spec.quantity import Malformed, parse_duration, parse_effect, parse_rate

    def read(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
        try:
            return None if text is None else parse(text)
        except Malformed as error:
            raise UsageError(f"{option}: {error}; {error.hint}") from error

    return Options(
        read("--budget", asked.budget, parse_rate),
        read("--min-effect", asked.min_effect, parse_effect),
        read("--fit", asked.fit, parse_duration),
        read("--window", asked.window, parse_duration),
        asked.rows_or_series,
        read("--accept", asked.accept, parse_duration),
    )
