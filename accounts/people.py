"""Who is behind a session, as every door sees it. Pure."""

from uuid import UUID

import msgspec


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose session is valid. `image` is the path of their picture, empty for none."""

    user_id: int
    session_id: UUID
    username: str
    nickname: str
    image: str

    @property
    def pk(self) -> int:
        """The user's id, by the name that frameworks ask for."""
        return self.user_id

    @property
    def is_authenticated(self) -> bool:
        """True: there is no Person for anybody else."""
        return True

    def get_username(self) -> str:
        """The name, by the name that frameworks ask for."""
        return self.username

    def shown(self) -> dict[str, str]:
        """What a person is told about themselves."""
        return {"username": self.username, "nickname": self.nickname, "image": self.image}


class CheckedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that PostgreSQL found valid, and until when that may be believed (Unix time)."""

    person: Person
    until_s: float


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has just been opened, with the only copy of its token."""

    token: str
    person: Person

    def __repr__(self) -> str:
        return f"OpenedSession(token=…, person={self.person!r})"
