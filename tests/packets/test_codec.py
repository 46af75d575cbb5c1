"""The codec: whatever a line holds, it is a packet or an error that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.packets.codec import (
    FORMATS,
    Packet,
    PacketAnswer,
    PacketError,
    PacketUser,
    decode_answer,
    decode_packet,
    encode_failure,
    encode_packet,
    encode_success,
    with_token,
)

FIELDS = ("Username", "Password", "Nickname", "Token", "URL")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=10,
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def line(format_: str, **user: Any) -> bytes:
    return json.dumps({"Format": format_, "User": user}).encode()


def refusal(text: bytes) -> str:
    with pytest.raises(PacketError) as raised:
        decode_packet(text)
    return str(raised.value)


def decoded_or_said(text: bytes) -> Packet | str:
    try:
        return decode_packet(text)
    except PacketError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "packet: is not a line of JSON"),
        (b"{", "packet: is not a line of JSON"),
        (b"\xff", "packet: is not a line of JSON"),
        (b'{"Format":"LOGIN","User":{"Username":"\xff"}}', "packet: is not a line of JSON"),
        (b'{"Format":"LOGIN","User":{"Username":"\\ud800"}}', "packet: is not a line of JSON"),
        (b'{"Format":"LOGIN","User":{"x":' + b"[" * 60_000, "packet: is not a line of JSON"),
        (b"[]", "packet: must be an object"),
        (b"null", "packet: must be an object"),
        (b"{}", "Format: is required"),
        (b'{"Format":"login"}', f"Format: must be one of {', '.join(FORMATS)}"),
        (b'{"Format":7}', f"Format: must be one of {', '.join(FORMATS)}"),
        (b'{"Format":"LOGIN","User":[]}', "User: must be an object"),
        (b'{"Format":"LOGIN"}', "User.Username: is required"),
        (line("LOGIN", Username="ann"), "User.Password: is required"),
        (line("REGISTER", Username="", Password="p"), "User.Username: is required"),
        (line("REGISTER", Username="ann", Password=None), "User.Password: is required"),
        (line("VALIDATE", Username="ann", Password="p"), "User.Token: is required"),
        (line("LOGOUT", Token=""), "User.Token: is required"),
        (line("VALIDATE", Token=["t"]), "User.Token: must be text"),
        (line("UPDATE_IMAGE", Token="t", URL=3), "User.URL: must be text"),
    ],
)
def test_what_is_no_packet_is_refused_in_words(text: bytes, said: str) -> None:
    assert refusal(text) == said


def test_what_a_format_does_not_use_is_not_looked_at() -> None:
    text = (
        b'{"New":1,"User":{"Token":"t","Later":{},"Username":"","URL":null},"Format":"VALIDATE"}\r'
    )
    assert decode_packet(text) == Packet("VALIDATE", PacketUser(token="t", username=""))


def test_a_nickname_and_a_picture_can_be_taken_away() -> None:
    assert decode_packet(line("UPDATE_NICKNAME", Token="t")).user.nickname is None
    assert decode_packet(line("UPDATE_IMAGE", Token="t", URL=None)).user.url is None
    assert decode_packet(line("UPDATE_NICKNAME", Token="t", Nickname="")).user.nickname == ""
    assert decode_packet(line("UPDATE_IMAGE", Token="t", URL="")).user.url == ""


@given(st.sampled_from(FORMATS), st.fixed_dictionaries(dict.fromkeys(FIELDS, WORDS)))
def test_what_is_encoded_is_decoded(format_: Any, said: dict[str, str]) -> None:
    user = PacketUser(*(said[field] or "x" for field in FIELDS))
    encoded = encode_packet(Packet(format_, user))
    assert encoded.count(b"\n") == 1
    assert decode_packet(encoded) == Packet(format_, user)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_packet_or_an_error(text: bytes) -> None:
    decoded = decoded_or_said(text)
    assert ": " in decoded if isinstance(decoded, str) else decoded.format in FORMATS


@given(st.sampled_from(FORMATS), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_user_makes_a_packet_or_an_error_that_names_the_field(
    format_: str, user: dict[str, Any]
) -> None:
    decoded = decoded_or_said(line(format_, **user))
    if isinstance(decoded, str):
        assert decoded.split(":")[0] in {f"User.{field}" for field in FIELDS}
    else:
        said = {field: value for field, value in user.items() if value is not None}
        assert json.loads(encode_packet(decoded))["User"] == said


@given(WORDS, WORDS, WORDS, st.none() | WORDS)
def test_success_says_who_and_the_token_only_when_given(
    username: str, nickname: str, url: str, token: str | None
) -> None:
    answer = json.loads(encode_success(username=username, nickname=nickname, url=url, token=token))
    wanted = {"Username": username, "Nickname": nickname, "URL": url}
    wanted |= {} if token is None else {"Token": token}
    assert answer == {"Success": True, "User": wanted, "Err": ""}


@given(WORDS, WORDS, WORDS)
def test_a_token_is_added_as_if_it_had_been_encoded(username: str, nickname: str, url: str) -> None:
    user = {"username": username, "nickname": nickname, "url": url}
    assert with_token(encode_success(**user), "t-_9") == encode_success(**user, token="t-_9")


@given(WORDS)
def test_failure_says_why_and_nothing_of_the_user(err: str) -> None:
    encoded = encode_failure(err)
    assert encoded.count(b"\n") == 1
    assert json.loads(encoded) == {"Success": False, "User": {}, "Err": err}
    assert decode_answer(encoded) == PacketAnswer(False, decode_answer(encoded).user, err)


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(PacketError, match="answer: is not one"):
        decode_answer(b'{"Success":1}')


def test_secrets_are_not_shown() -> None:
    packet = decode_packet(line("LOGIN", Username="ann", Password="hidden!", Token="hidden!"))
    assert "hidden!" not in f"{packet!r} {packet}"
