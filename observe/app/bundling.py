"""An incident as one file to hand on: what is known of it as JSON, page and text, and the rows behind that as Parquet.

It is made in a process of its own, niced, which reads through the core: intake is not held up. One at a time. The
same state of the store gives the same bytes, so two people can compare what they have by its checksum.

Source: our own; docs/incidents-bundle.md.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from observe.app.calling import Calling
from observe.app.children import Child
from observe.errors import ObserveError, Overloaded, SourceError, UsageError

if TYPE_CHECKING:
    from dashboards.dossier import Dossier
    from dashboards.report_facts import Rows as Store_
    from observe.app.bundle_rows import Rows
    from observe.store import Store

PATIENCE_S: Final = 120.0  # the longest a child says nothing
NICE: Final = 5  # somebody waits for it
LARGEST: Final = 16 * 2**20  # bytes of all Parquet files together
MANIFEST: Final = "MANIFEST"
_AGAIN_S: Final = 10  # when to ask again while another bundle is being made
_THEN: Final = (1980, 1, 1, 0, 0, 0)  # the time of every entry: a bundle is known by its content
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def bundle(store: Store_, incident_id: str, as_of: datetime | None, *, with_requests: bool = True) -> bytes:
    """The whole file.

    Args:
        store: answers SQL.
        incident_id: which incident.
        as_of: when the newest row was stored; an open incident lasts until then. None before the first.
        with_requests: whether rows of requests may be in it.

    Raises:
        UsageError: there is no such incident.
    """
    from dashboards.dossier import gathered, reader
    from observe.app.bundle_rows import rows

    read = reader(store)
    held = gathered(read, incident_id, as_of or _BEGINNING)
    parts = rows(read, held, with_requests=with_requests)
    files, cut = _fitting(parts)
    texts = _texts(held, parts, cut, "" if with_requests else NO_REQUESTS)
    return _zipped(incident_id, {**texts, **files})


def _texts(held: Dossier, parts: Sequence[Rows], cut: Sequence[str], lacks: str) -> dict[str, bytes]:
    from dashboards.dossier_html import as_html
    from dashboards.dossier_text import as_json, as_markdown, queries

    about = "\n".join(
        f"{part.name}.parquet: {part.frame.height if part.name not in cut else 'fewer than ' + str(part.frame.height)} rows"
        + (", there are more" if part.is_cut or part.name in cut else "")
        for part in parts
    )
    made = {
        "incident.json": as_json(held), "report.md": as_markdown(held), "report.html": as_html(held),
        "queries.sql": queries(held), "README.txt": f"{_ABOUT}\n{about}\n{lacks}",
    }  # fmt: skip
    return {name: text.encode() for name, text in made.items()}


_ABOUT: Final = """\
report.html   what happened, for people; stands alone, prints
report.md     the same for a ticket or a postmortem
incident.json the same for programs, schema observe/incident/v1
queries.sql   every query behind it, for: observe sql "..."
MANIFEST      sha256 of every file, for: sha256sum -c MANIFEST
*.parquet     rows behind it, bounded; requests are a sample by a hash of their id, failed and good apart,
              without anything users wrote or were answered and without what could name them
"""


NO_REQUESTS: Final = """\
failed_attempts, good_attempts and slowest_attempts.parquet: left out, for who asked may not read rows of requests;
ask with a token of scope sql (POST /api/v1/tokens {"name": ..., "role": "viewer", "sql": true})
"""


def _fitting(parts: Sequence[Rows]) -> tuple[dict[str, bytes], list[str]]:
    """The files of rows within `LARGEST` bytes: the largest is halved until they fit; and which were."""
    held = {part.name: part for part in parts}
    made = {name: part.parquet() for name, part in held.items()}
    cut: list[str] = []
    while sum(map(len, made.values())) > LARGEST:
        name = max(made, key=lambda n: len(made[n]))
        held[name] = held[name].halved()
        made[name] = held[name].parquet()
        cut.append(name)
    return {f"{name}.parquet": content for name, content in made.items()}, cut


def _zipped(incident_id: str, files: Mapping[str, bytes]) -> bytes:
    """A zip with one folder; entries in order, without times of their own."""
    sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in sorted({**files, MANIFEST: sums.encode()}.items()):
            entry = zipfile.ZipInfo(f"{incident_id}/{name}", _THEN)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            made.writestr(entry, content)
    return sink.getvalue()


class Bundling(Calling):
    """Makes each bundle in a child, which reads from `store` meanwhile."""

    def __init__(self, store: Store) -> None:
        super().__init__("bundle", PATIENCE_S)
        self._store = store
        self._one = threading.Lock()
        self._child: Child | None = None

    def __call__(self, incident_id: str, *, with_requests: bool) -> bytes:
        """The bundle of an incident, with rows of requests or without.

        Raises:
            UsageError: there is no such incident.
            Overloaded: another bundle is being made; nobody waits for it here.
            SourceError: the child fell or could not make it.
        """
        if not self._one.acquire(blocking=False):
            raise Overloaded(f"another bundle is being made, try again in {_AGAIN_S} s", _AGAIN_S)
        child = self._child = Child("bundle", ["observe.app.bundling"], nice=NICE, pass_fds=self.channel)
        try:
            child.start()
            return self._heard(incident_id, with_requests)
        finally:
            child.stop(grace_s=0.5)
            self._child = None
            self._one.release()

    def stop(self) -> None:
        """Give up what is being made."""
        child = self._child
        if child is not None and child.process is not None:
            child.process.kill()

    def _heard(self, incident_id: str, with_requests: bool) -> bytes:
        with self.line() as line:
            line.say((incident_id, self._store.watermark(), with_requests))
            while True:
                verb, *said = line.hear()
                if verb == "made":
                    return said[0]  # type: ignore[no-any-return]
                if verb == "unknown":
                    raise UsageError(said[0])
                if verb == "failed":
                    raise SourceError(f"the bundle could not be made: {said[0]}")
                try:
                    line.say((True, self._store.read_ipc(*said)))
                except ObserveError as error:
                    line.say((False, error))


def serve(connection: Connection) -> None:
    """Make the one bundle that is asked for."""
    from observe.app.summarising import FarStore

    incident_id, as_of, with_requests = connection.recv()
    answer: tuple[str, Any]
    try:
        answer = ("made", bundle(FarStore(connection), incident_id, as_of, with_requests=with_requests))
    except UsageError as error:
        answer = ("unknown", str(error))
    except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
        answer = ("failed", f"{type(error).__name__}: {error}")
    connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
