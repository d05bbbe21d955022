"""What makes a request good: `status = ok and duration_s < 2s`.

Grammar: `field op literal`, joined by `and` and `or`; `and` binds tighter; no SQL passes through.
Fields are the columns of the view `request`; what is rendered quotes every column and escapes every
literal, so the text may stand in a query. A comparison with NULL is neither good nor bad.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from observe.schema import ERROR_KINDS
from observe.spec.nearest import did_you_mean
from observe.spec.quantity import Malformed, parse_duration

Kind = Literal["text", "number", "seconds", "flag"]
FIELDS: Final[Mapping[str, Kind]] = {
    "status": "text", "error_class": "text", "error_kind": "text", "cluster": "text", "team_id": "text", "provider": "text",
    "model_served": "text", "deployment_id": "text", "http_status": "number", "attempts": "number",
    "tokens_in": "number", "tokens_out": "number", "cost_usd": "number", "duration_s": "seconds",
    "ttft_s": "seconds", "tpot_s": "seconds", "stream": "flag", "cost_known": "flag",
}  # fmt: skip
STATUSES: Final = ("ok", "error", "cancelled")
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {"status": STATUSES, "error_kind": ERROR_KINDS}
_OPERATORS: Final = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TOKEN = re.compile(r"\s*(?:(?P<op><=|>=|!=|=|<|>)|(?P<quoted>'[^']*'|\"[^\"]*\")|(?P<word>[\w.:/%-]+))")
_MOST_TERMS: Final = 32
_EXAMPLE: Final = "write field op literal, joined by and / or: status = ok and duration_s < 2s"


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison: a column, an operator of SQL, a literal in SQL."""

    field: str
    operator: str
    literal: str

    @property
    def sql(self) -> str:
        """The comparison as SQL."""
        return f'"{self.field}" {self.operator} {self.literal}'


@dataclass(frozen=True, slots=True)
class Predicate:
    """Alternatives of conjunctions of terms, and the text they were written as."""

    text: str
    alternatives: tuple[tuple[Term, ...], ...]

    def __str__(self) -> str:
        """As written."""
        return self.text

    @property
    def sql(self) -> str:
        """A condition over the view `request`; safe to stand in a query, parenthesised where needed."""
        groups = [" AND ".join(term.sql for term in terms) for terms in self.alternatives]
        return groups[0] if len(groups) == 1 else " OR ".join(f"({group})" for group in groups)


def parse_predicate(text: str) -> Predicate:
    """Read the grammar above.

    Raises:
        Malformed: with what is wrong and how to write it.

    >>> print(parse_predicate("status = ok and duration_s < 800ms").sql)
    "status" = 'ok' AND "duration_s" < 0.8
    """
    tokens = _tokens(text)
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    for start in range(0, len(tokens), 4):
        terms.append(_term(tokens[start : start + 3]))
        joint = tokens[start + 3 : start + 4]
        if not joint or joint[0].casefold() == "or":
            alternatives.append(tuple(terms))
            terms = []
        elif joint[0].casefold() != "and":
            raise Malformed(f"expected 'and' or 'or' before {joint[0]!r}", _EXAMPLE)
    if terms or not alternatives:
        raise Malformed("a condition is missing", _EXAMPLE)
    if sum(map(len, alternatives)) > _MOST_TERMS:
        raise Malformed(f"more than {_MOST_TERMS} conditions", "an SLO people can remember has one or two")
    return Predicate(text, tuple(alternatives))


def _tokens(text: str) -> list[str]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise Malformed(f"{text[at:].strip()[0]!r} has no place in a condition", _EXAMPLE)
        tokens.append(found[0].strip())
        at = found.end()
    return tokens


def _term(tokens: list[str]) -> Term:
    if len(tokens) < 3:
        raise Malformed(
            f"{' '.join(tokens)!r} is not a whole condition" if tokens else "a condition is missing", _EXAMPLE
        )
    name, operator, literal = tokens
    if name not in FIELDS:
        raise Malformed(f"unknown field {name!r} in a condition", did_you_mean(name, FIELDS))
    if operator not in _OPERATORS:
        raise Malformed(f"{operator!r} is not an operator", f"there are: {' '.join(_OPERATORS)}")
    kind = FIELDS[name]
    if kind in {"text", "flag"} and operator not in {"=", "!="}:
        raise Malformed(f"{name} has no order, {operator!r} cannot compare it", "use = or !=")
    return Term(name, _OPERATORS[operator], _literal(name, kind, literal))


def _literal(name: str, kind: Kind, written: str) -> str:
    text = written[1:-1] if written[0] in "'\"" else written
    if kind == "flag":
        return _flag(name, text)
    if kind == "seconds":
        return f"{parse_duration(text):.12g}"
    if kind == "number":
        return _number(name, text)
    if name in _WORDS and text not in _WORDS[name]:
        raise Malformed(f"{name} is never {text!r}", did_you_mean(text, _WORDS[name]))
    return "'" + text.replace("'", "''") + "'"


def _flag(name: str, text: str) -> str:
    if text not in {"true", "false"}:
        raise Malformed(f"{name} is true or false, not {text!r}", f"write {name} = true")
    return text.upper()


def _number(name: str, text: str) -> str:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise Malformed(f"{name} is a number, not {text!r}", f"write {name} < 500")
    return text
