"""The page about the schema is what the code makes."""

from pathlib import Path

from observe.store.document import render


def test_the_committed_page_is_up_to_date(project: Path) -> None:
    assert (project / "docs" / "schema.md").read_text() == render(), (
        "run: python -m observe.store.document > docs/schema.md"
    )


def test_every_column_of_every_view_has_a_meaning() -> None:
    assert [line for line in render().splitlines() if line.endswith("|  |")] == []
