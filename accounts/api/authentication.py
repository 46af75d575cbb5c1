"""`Authorization: Bearer <token of a session>`, for the accounts' endpoints only."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.fastpath import UNAUTHORIZED_MSG, bearer_token
from accounts.people import Person
from accounts.services import session_check

_DETAIL = UNAUTHORIZED_MSG.removeprefix("authorization: ")


class BearerAuthentication(BaseAuthentication):
    """`request.user` is the Person whose session it is."""

    def authenticate(self, request: Request) -> tuple[Person, None]:
        """The person; AuthenticationFailed for everybody else."""
        given: str = request.META.get("HTTP_AUTHORIZATION", "")
        token = bearer_token(given.encode("latin-1", errors="replace"))
        person = session_check(token=token) if token else None
        if person is None:
            raise AuthenticationFailed(_DETAIL)
        return person, None

    def authenticate_header(self, request: Request) -> str:
        """Makes the refusal a 401."""
        return "Bearer"
