"""The packets: what a line says, and the line that answers it. Pure.

A request is `{"Format": …, "User": {"Username", "Password", "Nickname", "Token", "URL"}}`, an
answer `{"Success": bool, "User": {…}, "Err": "…"}`. Fields of a user that a format does not use may
be absent, empty or null, and what nobody knows is not looked at, for the sake of clients that are
newer than the server. No answer has a place for a password.
"""

import re
from typing import Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from runtime.errors import DomainError

Format = Literal["REGISTER", "LOGIN", "VALIDATE", "UPDATE_NICKNAME", "UPDATE_IMAGE", "LOGOUT"]
FORMATS: tuple[str, ...] = get_args(Format)
STOP = b"STOP"

_WIRE = {
    "username": "Username",
    "password": "Password",
    "nickname": "Nickname",
    "token": "Token",
    "url": "URL",
}
_WHERE = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")


class PacketError(DomainError):
    """A line that is no packet; the message names the field."""


class PacketUser(Struct, frozen=True, gc=False, omit_defaults=True, rename=_WIRE):
    """What a client says of a user; None is what it does not say."""

    username: str | None = None
    password: str | None = None
    nickname: str | None = None
    token: str | None = None
    url: str | None = None

    def __repr__(self) -> str:
        # Neither password nor token may reach a log by way of an exception.
        return f"PacketUser(username={self.username!r}, …)"


NOBODY = PacketUser()


class Packet(Struct, frozen=True, gc=False, rename={"format": "Format", "user": "User"}):
    """One request, complete: what its format needs is there."""

    format: Format
    user: PacketUser = NOBODY


class AnswerUser(Struct, frozen=True, gc=False, rename=_WIRE):
    """What an answer says of a user: nothing unless it succeeds, the token only after LOGIN."""

    username: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    token: str | UnsetType = UNSET


class PacketAnswer(
    Struct, frozen=True, gc=False, rename={"success": "Success", "user": "User", "err": "Err"}
):
    """One answer; `err` is empty exactly when it succeeds."""

    success: bool
    user: AnswerUser
    err: str = ""


_NEEDS: dict[str, tuple[str, ...]] = {
    "REGISTER": ("username", "password"),
    "LOGIN": ("username", "password"),
    "VALIDATE": ("token",),
    "LOGOUT": ("token",),
    "UPDATE_NICKNAME": ("token",),
    "UPDATE_IMAGE": ("token",),
}
_NO_USER = AnswerUser()
# How a success ends.
_END = b'},"Err":""}\n'
_END_BYTES = len(_END)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Packet).decode
_decode_answer = msgspec.json.Decoder(PacketAnswer).decode


def decode_packet(line: bytes) -> Packet:
    """The packet in a line, with all that its format needs. PacketError naming the field."""
    try:
        packet = _decode(line)
    except msgspec.ValidationError as error:
        raise PacketError(_in_words(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PacketError("packet: is not a line of JSON") from None
    format_, user = packet.format, packet.user
    # The most frequent one, without the loop.
    if format_ == "VALIDATE" and user.token:
        return packet
    for field in _NEEDS[format_]:
        if not getattr(user, field):
            raise PacketError(f"User.{_WIRE[field]}: is required")
    return packet


def encode_packet(packet: Packet) -> bytes:
    """The line of a packet, with its end."""
    return _encode(packet) + b"\n"


def encode_success(*, username: str, nickname: str, url: str, token: str | None = None) -> bytes:
    """The line that says yes; `token` for LOGIN only."""
    user = AnswerUser(username, nickname, url, UNSET if token is None else token)
    return _encode(PacketAnswer(True, user)) + b"\n"


def with_token(success: bytes, token: str) -> bytes:
    """The line of `encode_success`, with a token: a new line without encoding it all anew. Tokens
    hold nothing that JSON would have to escape.
    """
    return b'%b,"Token":"%b"%b' % (success[:-_END_BYTES], token.encode(), _END)


def encode_failure(err: str) -> bytes:
    """The line that says no, and why."""
    return _encode(PacketAnswer(False, _NO_USER, err)) + b"\n"


def decode_answer(line: bytes) -> PacketAnswer:
    """The answer in a line. PacketError when it is none."""
    try:
        return _decode_answer(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PacketError(f"answer: is not one: {error}") from None


def _in_words(message: str) -> str:
    """What is wrong with which field, from msgspec's own words."""
    if missing := _MISSING.search(message):
        return f"{missing[1]}: is required"
    where = _WHERE.search(message)
    path = where[1] if where else ""
    if path == "Format":
        return f"Format: must be one of {', '.join(FORMATS)}"
    if path in ("", "User"):
        return f"{path or 'packet'}: must be an object"
    return f"{path}: must be text"
