"""What answers packets: the process's memory when it knows, else the services.

Memory knows sessions that were checked within the last minute, and whom it has just logged in.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from logging import getLogger

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections

from accounts import services
from accounts.devices import PACKETS_DEVICE
from accounts.errors import BadCredentialsError, InvalidFieldError, SessionEndedError
from accounts.logins import account_key
from accounts.memory import Entry
from accounts.packets.codec import Packet, PacketUser, encode_failure, encode_success, with_token
from accounts.packets.door import Answers
from accounts.packets.known_lines import KnownLine
from accounts.people import Person
from accounts.renewals import Login, Renewals
from accounts.sessions import process_sessions, session_check
from accounts.tokens import token_hash
from commons.patience import is_uncertain
from runtime.errors import DomainError

log = getLogger(__name__)

_BROKEN = encode_failure("server: failed, nothing is known of what was done")
_STORE_AWAY = encode_failure("server: a store is away, try again later")
_NO_SESSION = encode_failure("User.Token: is no valid session")
# The names that fields have in packets.
_FIELDS = {
    "username": "User.Username",
    "password": "User.Password",
    "nickname": "User.Nickname",
    "image": "User.URL",
}


class NoSessionError(Exception):
    """The token is no valid session's."""


def new_renewals() -> Renewals:
    """What keeps this process's logins remembered."""
    return Renewals(_renew, before_s=settings.ACCOUNT_PASSWORD_MEMORY_S / 4)


def new_answers(renewals: Renewals) -> Answers:
    """What answers in this process."""
    sessions = process_sessions()
    find_session, use_session = sessions.memory.find, sessions.memory.use

    def from_memory(packet: Packet, client: str) -> KnownLine | None:
        user = packet.user
        if packet.format == "VALIDATE" and user.token is not None:
            entry = find_session(token_hash(user.token))
            if entry is not None:
                return KnownLine("VALIDATE", _line(entry), partial(use_session, entry))
        elif packet.format == "LOGIN" and user.username and user.password:
            return login(user.username, user.password, client)
        return None

    def login(username: str, password: str, client: str) -> KnownLine | None:
        key = account_key(username)
        found = sessions.login_from_memory(key=key, password=password, address=client)
        if found is None:
            return None
        opened, entry = found

        def holds() -> bool:
            return (
                sessions.passwords.left_s(key, opened) >= renewals.before_s
                and not sessions.some_address_is_locked
                and use_session(entry)
            )

        if sessions.passwords.left_s(key, opened) < renewals.before_s:
            renewals.ask(Login(username, password, client))
        return KnownLine("LOGIN", with_token(_line(entry), opened.token), holds)

    return Answers(from_memory, from_stores)


def from_stores(packet: Packet, client: str) -> bytes:
    """The answer to a packet, from the services. Runs in a thread, and never raises."""
    try:
        return _WAYS[packet.format](packet.user, client)
    except (NoSessionError, SessionEndedError):
        return _NO_SESSION
    except InvalidFieldError as error:
        return encode_failure(f"{_FIELDS.get(error.field, error.field)}: {error.problem}")
    except BadCredentialsError:
        return encode_failure("User.Username or User.Password: is wrong")
    except DomainError as error:
        field, _, problem = str(error).partition(": ")
        return encode_failure(f"{_FIELDS.get(field, field)}: {problem}")
    except (OperationalError, InterfaceError) as error:
        return _BROKEN if is_uncertain(error) else _STORE_AWAY
    except Exception:
        log.exception("a packet of format %s failed", packet.format)
        return _BROKEN
    finally:
        # Back into the pool, for the next thread that needs it.
        connections.close_all()


def _line(entry: Entry) -> bytes:
    """The answer about a session; memory keeps it as long as the session."""
    if entry.line is None:
        entry.line = _success(entry.person)
    return entry.line


def _success(person: Person, *, token: str | None = None) -> bytes:
    return encode_success(
        username=person.username, nickname=person.nickname, url=person.image, token=token
    )


def _person(user: PacketUser) -> Person:
    person = session_check(token=user.token or "")
    if person is None:
        raise NoSessionError
    return person


def _register(user: PacketUser, client: str) -> bytes:
    made = services.user_register(
        username=user.username,
        password=user.password,
        nickname=user.nickname or "",
        address=client,
    )
    return encode_success(username=made.username, nickname=made.nickname, url="")


def _login(user: PacketUser, client: str) -> bytes:
    opened = services.session_open(
        username=user.username or "",
        password=user.password or "",
        device=PACKETS_DEVICE,
        address=client,
    )
    # Into this process's memory, where the next packets of this user will look for it.
    with suppress(OperationalError, InterfaceError):
        session_check(token=opened.token)
    return _success(opened.person, token=opened.token)


def _renew(login: Login) -> None:
    try:
        services.session_renew(
            username=login.username, password=login.password, address=login.address
        )
    except (DomainError, OperationalError, InterfaceError) as error:
        log.info("a login is not remembered any longer: %s", error)
    finally:
        connections.close_all()


def _validate(user: PacketUser, _client: str) -> bytes:
    return _success(_person(user))


# What an update would set is taken away when it is empty, and stays as it is when it is not said.


def _update_nickname(user: PacketUser, _client: str) -> bytes:
    person = _person(user)
    if user.nickname is None:
        return _success(person)
    return _success(services.nickname_change(person=person, nickname=user.nickname))


def _update_image(user: PacketUser, _client: str) -> bytes:
    person = _person(user)
    if user.url in (None, person.image):
        return _success(person)
    if user.url:
        return _success(services.image_copy(person=person, url=user.url))
    return _success(services.image_remove(person=person))


def _logout(user: PacketUser, client: str) -> bytes:
    person = _person(user)
    services.session_close(person=person, address=client)
    return _success(person)


_WAYS: dict[str, Callable[[PacketUser, str], bytes]] = {
    "REGISTER": _register,
    "LOGIN": _login,
    "VALIDATE": _validate,
    "UPDATE_NICKNAME": _update_nickname,
    "UPDATE_IMAGE": _update_image,
    "LOGOUT": _logout,
}
