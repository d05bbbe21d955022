"""A change to plant, as `--inject` writes it.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from observe.errors import UsageError
from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Effect, Malformed, parse_effect

_FORM: Final = re.compile(r"(shift|missing)=([+-]?)(.+?)@(.+)")


@dataclass(frozen=True, slots=True)
class Change:
    """What is planted: a lasting change of one feature."""

    feature: str
    what: Literal["shift", "missing"]
    effect: Effect
    sign: int = 1

    def __str__(self) -> str:
        """As written."""
        return f"{self.what}={'-' if self.sign < 0 else ''}{self.effect}@{self.feature}"


def parse(text: str, features: Mapping[str, str]) -> Change:
    """A change as written: `shift=10%@latency`, `shift=-0.5 sigma@amount`, `shift=5pp@country`, `missing=2pp@age`.

    Args:
        text: what was written.
        features: kinds of the features that there are.

    Raises:
        UsageError: another form, an unknown feature, or a change that this feature cannot have.
    """
    found = _FORM.fullmatch(text.strip())
    hint = "write shift=10%@feature, shift=0.5 sigma@feature, shift=5pp@category or missing=2pp@feature"
    if found is None:
        raise UsageError(f"--inject {text!r} is no change; {hint}")
    what, sign, written, feature = found.groups()
    if feature not in features:
        raise UsageError(f"--inject: there is no feature {feature!r}; {did_you_mean(feature, features)}")
    try:
        effect = parse_effect(written)
    except Malformed as error:
        raise UsageError(f"--inject {text!r}: {error}; {error.hint}") from error
    numbers = what == "shift" and features[feature] == "numeric"
    if numbers == (effect.unit == "pp"):
        raise UsageError(
            f"--inject {text!r}: {'numbers shift by % or sigma' if numbers else 'shares change by pp'}; {hint}"
        )
    if effect.unit == "pp" and effect.value > 100:
        raise UsageError(f"--inject {text!r}: no share changes by more than 100pp; {hint}")
    if what == "missing" and sign == "-":
        raise UsageError(f"--inject {text!r}: missing values are watched for more of them, never for fewer; {hint}")
    return Change(feature, "shift" if what == "shift" else "missing", effect, -1 if sign == "-" else 1)
