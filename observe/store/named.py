"""Which tables a text of SQL can reach: by the words in it, and the words in the views it names.

The text is not parsed: a word in a string, a comment or a column counts as well, so that too many
tables may be found and never too few.

Source: our own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Final

from observe.store.ddl import bulk_tables, quoted
from observe.store.views import derived

PREDICTIONS: Final = "predictions."  # before the name of one model's view
_OF_MODEL: Final = re.compile(r'\bpredictions\b"?\s*(?:\.\s*(?:"((?:[^"]|"")+)"|(\w+)))?', re.IGNORECASE)
_LISTS: Final = re.compile(
    r"\b(show|describe|summarize|information_schema|pg_catalog|sqlite_master|query|query_table|duckdb_\w+|pragma\w*)\b",
    re.IGNORECASE,
)  # these look at whatever there is


def tables_named(sql: str) -> frozenset[str]:
    """Names of the tables and views that the answer to `sql` may depend on.

    >>> sorted(tables_named('SELECT * FROM slo_status JOIN predictions.Fraud USING (ts)'))
    ['finding', 'predictions."fraud"', 'slo_status']

    Returns:
        View names as people write them, with those beneath; one model as `predictions."name"`;
        `prediction` stands for every model.
    """
    if _LISTS.search(sql):
        return _known()
    models = set()
    for quotes, word in _OF_MODEL.findall(sql):
        name = quotes.replace('""', '"') or word
        models.add(PREDICTIONS + quoted(name.casefold()) if name else "prediction")
    return _closure(_words(sql)) | models


@cache
def _known() -> frozenset[str]:
    return frozenset({*derived(), *(b.name for b in bulk_tables()), "prediction"})


def _words(text: str) -> frozenset[str]:
    return _known().intersection(re.findall(r"\w+", text.casefold()))


def _closure(names: Collection[str]) -> frozenset[str]:
    """`names` and everything that views among them are made of."""
    found, waiting = set(names), list(names)
    while waiting:
        new = _words(derived().get(waiting.pop(), "")) - found
        found |= new
        waiting.extend(new)
    return frozenset(found)


def reached(needed: Collection[str] | None) -> frozenset[str]:
    """`needed` with everything beneath it, names in lower case; all there is for None."""
    return _known() if needed is None else _closure({n.casefold() for n in needed})
