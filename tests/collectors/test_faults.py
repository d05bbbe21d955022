"""A fault is what became worse: told once, not repeated while it stands, and not at first sight."""

from datetime import UTC, datetime, timedelta
from typing import Any

from collectors import exposition
from collectors.faults import faults

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GPU = 'UUID="a",hostname="n1"'


def told(*pages: str, state: dict[str, Any] | None = None) -> list[list[tuple[Any, ...]]]:
    """Events of pages fifteen seconds apart: kind, before, after, severity."""
    found, known = [], state if state is not None else {}
    for i, page in enumerate(pages):
        at = AT + timedelta(seconds=15 * i)
        text = "".join(f"{line}\n" for line in page.split("; ") if line)
        events, new = faults(known, exposition.parse(text.encode(), at, {"cluster": "eu"}).tables, at)
        known.update(new)
        found.append([] if events is None else events.select("kind", "before", "after", "severity").rows())
    return found


def xid(code: int) -> str:
    return f"DCGM_FI_DEV_XID_ERRORS{{{GPU}}} {code}"


def count(n: int, code: int = 79, metric: str = "COUNT") -> str:
    return f'DCGM_EXP_XID_ERRORS_{metric}{{{GPU},xid="{code}"}} {n}'


def dev(name: str, value: float) -> str:
    return f"DCGM_FI_DEV_{name}{{{GPU}}} {value}"


def test_an_xid_is_told_when_it_changes_and_never_while_it_stands() -> None:
    assert told(*map(xid, (31, 31, 0, 79, 79))) == [[], [], [], [("xid", "0", "79", "error")], []]


def test_a_restart_with_its_state_repeats_nothing() -> None:
    state: dict[str, Any] = {}
    first = told(xid(0), xid(79), state=state)

    assert first[1] == [("xid", "0", "79", "error")]
    assert told(xid(79), state=state) == [[]]


def test_a_count_tells_repeats_that_the_gauge_hides() -> None:
    pages = [f"{xid(79)}; {count(n)}" for n in (1, 1, 3, 2, 3)]

    assert told(*pages) == [[], [], [("xid", "79", "79", "error")], [], [("xid", "79", "79", "error")]]


def test_a_count_and_the_gauge_tell_one_fault_once_whichever_comes_first() -> None:
    one = [("xid", "0", "79", "error")]

    assert told(xid(0), f"{xid(79)}; {count(1)}", f"{xid(79)}; {count(1)}") == [[], one, []]
    assert told(xid(0), xid(79), f"{xid(79)}; {count(1)}") == [[], one, []]
    assert told(xid(0), f"{xid(0)}; {count(1)}", f"{xid(79)}; {count(1)}") == [[], one, []]
    assert told(xid(0), f"{xid(79)}; {count(2)}; {count(2, metric='TOTAL')}") == [[], one]


def test_an_application_error_is_a_warning() -> None:
    assert told(xid(0), xid(31))[1] == [("xid", "0", "31", "warning")]


def test_new_uncorrected_errors_and_remaps_are_events_and_standing_ones_are_not() -> None:
    def page(dbe: int, rows: int, pending: int, failed: int) -> str:
        values = {
            "ECC_DBE_VOL_TOTAL": dbe,
            "UNCORRECTABLE_REMAPPED_ROWS": rows,
            "ROW_REMAP_PENDING": pending,
            "ROW_REMAP_FAILURE": failed,
        }
        return "; ".join(dev(name, value) for name, value in values.items())

    found = told(page(2, 1, 0, 0), page(2, 1, 0, 0), page(4, 2, 1, 0), page(4, 2, 1, 1), page(0, 2, 0, 1))

    assert found[:2] == [[], []]
    assert found[2] == [("ecc", "2", "4", "error"), ("ecc", "1", "2", "warning"), ("ecc", "0", "1", "warning")]
    assert found[3:] == [[("ecc", "0", "1", "error")], []]


def test_a_lost_gpu_is_a_disruption_once() -> None:
    ok, lost = (f"observe_gpu_state{{{GPU}}} {state}" for state in (0, 1))

    assert told(ok, lost, lost, ok, lost) == [
        [],
        [("disruption", "ok", "lost", "error")],
        [],
        [],
        [("disruption", "ok", "lost", "error")],
    ]


def test_health_that_turns_bad_is_a_disruption() -> None:
    def page(mem: int, link: int) -> str:
        watched = {"MEM": mem, "NVLINK": link}
        return "; ".join(
            [xid(0), *(f'DCGM_EXP_GPU_HEALTH_STATUS{{{GPU},health_watch="{k}"}} {v}' for k, v in watched.items())]
        )

    found = told(page(0, 10), page(0, 10), page(10, 10), page(20, 0))

    assert found == [[], [], [("disruption", "0", "10", "warning")], [("disruption", "10", "20", "error")]]


def test_an_event_says_what_and_where_and_has_the_same_id_again() -> None:
    tables = exposition.parse(f"{xid(79)}\n".encode(), AT, {"cluster": "eu"}).tables
    before = {"a": {"xid_last": 0}}
    (first, _), (second, _) = faults(before, tables, AT), faults(before, tables, AT)

    assert first is not None
    assert second is not None
    assert first.select("event_id", "object_kind", "object_name", "cluster", "node", "message").rows() == [
        ("xid/a/1795176000000/79", "GPU", "a", "eu", "n1", "XID 79: GPU has fallen off the bus on n1")
    ]
    assert second["event_id"].to_list() == first["event_id"].to_list()
