"""The counters' stream entries: a batch of increments folded into sums, as compact bytes.

Layout, little-endian, version 1: a byte `1`; a block of sums; the number of groups (uint32); then
each group: the length of its idempotency key (uint16), the key in UTF-8, a block. A block is the
number of increments folded into it (uint32), its length n (uint32), n counter keys of 16 bytes, n
sums (int64). Increments under an idempotency key stay a group of their own, since only the drain
can tell whether they count.

Columns, not rows: two calls of `struct` read a block of any length.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from counters.records import (
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    VALUE_MAX,
    Batch,
    Increment,
    Item,
    Keyed,
)

_VERSION = b"\x01"
_KEY_BYTES = 16
_UINT32 = struct.Struct("<I")
_TWO_UINT32 = struct.Struct("<II")
_UINT16 = struct.Struct("<H")
# What an increment takes of the group commit's limit: its key and its value.
ITEM_BYTES = _KEY_BYTES + 8


class PayloadError(ValueError):
    """The bytes are no payload of this product."""


class Block(NamedTuple):
    """Counter keys (16 bytes each), and what each grows by: 1 … 2^63-1. A key may come twice.

    `increments` is how many were folded into it.
    """

    increments: int
    keys: tuple[bytes, ...]
    sums: tuple[int, ...]


class Group(NamedTuple):
    """A block that counts once in 24 hours under its key."""

    idempotency_key: str
    block: Block


class Payload(NamedTuple):
    """One stream entry."""

    block: Block
    groups: tuple[Group, ...]


def encode_payload(items: Iterable[Item]) -> bytes:
    """Fold items into the bytes of one stream entry."""
    sums: dict[bytes, int] = {}
    groups: list[Keyed] = []
    increments = 0
    for item in items:
        if isinstance(item, Increment):
            key = item.key.bytes
            sums[key] = sums.get(key, 0) + item.value
            increments += 1
        elif isinstance(item, Keyed):
            groups.append(item)
        else:
            _fold(item, sums)
            increments += len(item)
    parts = [_VERSION, _encode_block(increments, sums), _UINT32.pack(len(groups))]
    for group in groups:
        text = group.idempotency_key.encode()
        block = _encode_block(len(group.increments), _fold(group.increments, {}))
        parts += [_UINT16.pack(len(text)), text, block]
    return b"".join(parts)


def _fold(batch: Batch, sums: dict[bytes, int]) -> dict[bytes, int]:
    get = sums.get
    for key, value in zip(batch.keys, batch.values, strict=True):
        sums[key] = get(key, 0) + value
    return sums


def _encode_block(increments: int, sums: Mapping[bytes, int]) -> bytes:
    try:
        columns = _encode_columns(sums, sums.values())
    except struct.error:
        columns = _encode_columns(*zip(*_split(sums), strict=True))
    return _UINT32.pack(increments) + columns


def _encode_columns(keys: Collection[bytes], values: Collection[int]) -> bytes:
    """struct.error for a value beyond 2^63-1."""
    column = struct.Struct(f"<{len(values)}q").pack(*values)
    return b"".join((_UINT32.pack(len(keys)), *keys, column))


def _split(sums: Mapping[bytes, int]) -> Iterator[tuple[bytes, int]]:
    """The sums, those beyond 2^63-1 in several pieces."""
    for key, value in sums.items():
        whole, rest = divmod(value, VALUE_MAX)
        for _ in range(whole):
            yield key, VALUE_MAX
        if rest:
            yield key, rest


def decode_payload(payload: bytes) -> Payload:
    """The reverse of `encode_payload`; PayloadError on anything that it cannot have written."""
    if payload[:1] != _VERSION:
        raise PayloadError(f"unknown version {payload[:1]!r}")
    try:
        block, offset = _decode_block(payload, 1)
        groups, offset = _decode_groups(payload, offset)
    except (struct.error, UnicodeDecodeError) as error:
        raise PayloadError(f"cut or damaged: {error}") from None
    if offset != len(payload):
        raise PayloadError(f"{len(payload) - offset} bytes too many")
    return Payload(block, groups)


def _decode_groups(payload: bytes, offset: int) -> tuple[tuple[Group, ...], int]:
    (count,) = _UINT32.unpack_from(payload, offset)
    offset += _UINT32.size
    groups = []
    for _ in range(count):
        (length,) = _UINT16.unpack_from(payload, offset)
        offset += _UINT16.size
        text = payload[offset : offset + length].decode()
        if not 0 < len(text) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or "\x00" in text:
            raise PayloadError("an idempotency key that cannot be one")
        block, offset = _decode_block(payload, offset + length)
        groups.append(Group(text, block))
    return tuple(groups), offset


def _decode_block(payload: bytes, offset: int) -> tuple[Block, int]:
    increments, count = _TWO_UINT32.unpack_from(payload, offset)
    offset += _TWO_UINT32.size
    end = offset + count * (_KEY_BYTES + 8)
    if end > len(payload):
        raise PayloadError(f"{count} sums in {len(payload)} bytes")
    # Not `struct.unpack_from`: that keeps a hundred formats, here of up to megabytes each.
    keys = struct.Struct(f"{_KEY_BYTES}s" * count).unpack_from(payload, offset)
    sums = struct.unpack_from(f"<{count}q", payload, offset + count * _KEY_BYTES)
    if count and min(sums) < 1:
        raise PayloadError("a sum below 1")
    return Block(increments, keys, sums), end
