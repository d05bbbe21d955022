"""HTML that is made of text: what is not made here is escaped, so nothing from data becomes markup.

For pages outside the application, such as reports, that must stand alone and run no script.

Source: our own; the HTML standard, 13.3 (serialising).
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Part = str | None | Iterable["Part"]
VOID: Final = ("meta", "link", "br", "rect", "path", "line", "circle")  # written without an end


def tag(element: str, /, *parts: Part, **attributes: str | float | None) -> Markup:
    """An element; text in it and attributes are escaped, `cls` is its class, `_` in a name is `-`.

    >>> tag("p", "a < b ", tag("b", "c"), cls="sub")
    '<p class="sub">a &lt; b <b>c</b></p>'
    """
    named = "".join(
        f' {"class" if key == "cls" else key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(
        f"<{element}{named}/>" if element in VOID and not parts else f"<{element}{named}>{joined(parts)}</{element}>"
    )


def joined(parts: Part) -> Markup:
    """Parts one after the other."""
    if parts is None:
        return Markup()
    if isinstance(parts, str):
        return parts if isinstance(parts, Markup) else Markup(escape(_printable(parts)))
    return Markup("".join(joined(part) for part in parts))


def _printable(text: str) -> str:
    """Without control characters and halves of surrogate pairs, which no file may hold."""
    clean = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
    return clean.encode(errors="replace").decode()


def table(heads: Iterable[str], rows: Iterable[Iterable[Part]]) -> Markup:
    """A table that scrolls by itself where it is too wide."""
    head = tag("thead", tag("tr", [tag("th", h, scope="col") for h in heads]))
    body = tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    return tag("div", tag("table", head, body), cls="scroll", tabindex="0")
