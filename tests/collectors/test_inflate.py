import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.inflate import INFLATED_LIMIT, MEMBER_LIMIT, WIRE_LIMIT, Inflating, inflate
from observe.errors import PayloadError, PayloadTooLarge, UnsupportedPayload

RAW = b"every span of this body is told twice; " * 50


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", RAW),
        ("identity", RAW),
        ("gzip", gzip.compress(RAW, mtime=0)),
        (" GZIP ", gzip.compress(RAW, mtime=0)),
        ("deflate", zlib.compress(RAW)),
        ("deflate", raw_deflate(RAW)),
    ],
)
def test_every_encoding_we_speak_gives_the_body_back(encoding: str, body: bytes) -> None:
    assert inflate(body, encoding) == RAW


@given(st.binary(max_size=4000), st.integers(1, 700))
def test_pieces_of_any_size_give_the_same_body_as_the_whole(data: bytes, size: int) -> None:
    wire = gzip.compress(data)
    inflating = Inflating("gzip")
    for i in range(0, len(wire), size):
        inflating.feed(wire[i : i + size])

    assert inflating.finish() == data == inflate(wire, "gzip")


def test_several_gzip_members_are_one_body() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip") == b"one two"


def test_a_bomb_is_refused_after_little_of_it_is_inflated() -> None:
    bomb = gzip.compress(bytes(2**28))
    inflating = Inflating("gzip")

    with pytest.raises(PayloadTooLarge, match="200 times"):
        inflating.feed(bomb)
    assert inflating._size <= 64 * 2**20


def test_a_body_that_never_ends_meets_the_cap_on_the_wire() -> None:
    encoder = zlib.compressobj(0, wbits=31)
    inflating = Inflating("gzip")
    for _ in range(15):
        inflating.feed(encoder.compress(bytes(2**20)) + encoder.flush(zlib.Z_SYNC_FLUSH))

    with pytest.raises(PayloadTooLarge, match="on the wire"):
        inflating.feed(encoder.compress(bytes(2**21)) + encoder.flush())


def test_more_than_the_wire_takes_is_refused_uncompressed_too() -> None:
    with pytest.raises(PayloadTooLarge, match="on the wire"):
        inflate(bytes(WIRE_LIMIT + 1))


def test_more_than_fits_inflated_is_refused() -> None:
    quiet = b"".join(i.to_bytes(4, "big") * 16 for i in range(INFLATED_LIMIT // 64 + 1))
    wire = zlib.compress(quiet, 1)

    assert len(wire) * 200 > len(quiet)
    with pytest.raises(PayloadTooLarge, match="when inflated"):
        inflate(wire, "deflate")


def test_thousands_of_empty_members_are_refused() -> None:
    with pytest.raises(PayloadError, match="members"):
        inflate(gzip.compress(b"") * (MEMBER_LIMIT + 1), "gzip")


@pytest.mark.parametrize(
    "body", [gzip.compress(RAW, mtime=0)[:-9], b"no gzip at all", gzip.compress(RAW, mtime=0) + b"tail"]
)
def test_a_damaged_body_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        inflate(body, "gzip")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 500])
def test_an_encoding_we_do_not_speak_is_415(encoding: str) -> None:
    with pytest.raises(UnsupportedPayload, match="gzip, deflate or identity"):
        inflate(b"", encoding)


WIRE = st.binary(max_size=300).flatmap(
    lambda data: st.sampled_from([data, gzip.compress(data, mtime=0), zlib.compress(data), raw_deflate(data)])
)


@given(st.sampled_from(["gzip", "deflate", ""]), WIRE)
def test_any_bytes_inflate_to_what_zlib_says_or_are_refused(encoding: str, body: bytes) -> None:
    told = ours(encoding, body)

    assert told == theirs(encoding, body) if isinstance(told, bytes) else encoding in told


def ours(encoding: str, body: bytes) -> bytes | str:
    """What became of a body: itself, or the words it was refused with; never another exception."""
    try:
        return inflate(body, encoding)
    except PayloadError as error:
        return str(error)


def theirs(encoding: str, body: bytes) -> bytes:
    """The same by the standard library alone."""
    if not encoding or not body:
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    try:
        return zlib.decompress(body)
    except zlib.error:
        return zlib.decompress(body, -zlib.MAX_WBITS)
