"""The accounts' endpoints: each checks a request's form, calls one service, words the answer."""

from typing import Any
from uuid import UUID

from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import selectors, services
from accounts.addresses import client_address
from accounts.api import schema
from accounts.api.authentication import BearerAuthentication
from accounts.errors import InvalidFieldError
from accounts.fields import field_of, text_of
from accounts.images import IMAGE_BYTES_MAX
from accounts.models import Session
from accounts.people import Person


def _field(request: Request, name: str) -> object:
    return field_of(request.data, name)


def _text(request: Request, name: str) -> str:
    return text_of(request.data, name)


def _optional(request: Request, name: str, default: str) -> object:
    return _field(request, name) if name in request.data else default


# Far more than any field may have. Of what everybody may send, tens of megabytes would take the
# interpreter a second and a gigabyte to read.
_JSON_BYTES_MOST = 65_536


class _Public(APIView):
    """For everybody."""

    json_bytes_most = _JSON_BYTES_MOST
    authentication_classes = ()
    permission_classes = (AllowAny,)


class _Own(APIView):
    """For somebody with a session."""

    json_bytes_most = _JSON_BYTES_MOST
    authentication_classes = (BearerAuthentication,)
    permission_classes = (IsAuthenticated,)

    @property
    def person(self) -> Person:
        """Who is asking."""
        person: Person = self.request.user  # type: ignore[assignment]
        return person

    @property
    def address(self) -> str:
        """Where from."""
        return client_address(self.request._request)


class Register(_Public):
    """A new account."""

    @schema.register
    def post(self, request: Request) -> Response:
        """Names are unique whatever their case; the nickname may be left out."""
        user = services.user_register(
            username=_field(request, "username"),
            password=_field(request, "password"),
            nickname=_optional(request, "nickname", ""),
            address=client_address(request._request),
        )
        shown = {"username": user.username, "nickname": user.nickname, "image": ""}
        return Response(shown, status=201)


class Login(_Public):
    """A new session."""

    @schema.login
    def post(self, request: Request) -> Response:
        """Every login is a session of its own. Too many failures lock the account, or the address,
        for a while, also for the right password.
        """
        opened = services.session_open(
            username=_text(request, "username"),
            password=_text(request, "password"),
            device=request.headers.get("user-agent", ""),
            address=client_address(request._request),
        )
        return Response({"token": opened.token, "user": opened.person.shown()})


class Logout(_Own):
    """The end of this session."""

    @schema.logout
    def post(self, request: Request) -> Response:
        """The token is refused everywhere within a second."""
        services.session_close(person=self.person, address=self.address)
        return Response(status=204)


class Password(_Own):
    """Another password."""

    @schema.password
    def post(self, request: Request) -> Response:
        """Ends all other sessions. Wrong old passwords count as failed logins."""
        services.password_change(
            person=self.person,
            old=_text(request, "old"),
            new=_field(request, "new"),
            address=self.address,
        )
        return Response(status=204)


class Me(_Own):
    """The person themselves."""

    @schema.me
    def get(self, request: Request) -> Response:
        """Who the session belongs to. Usually answered from memory."""
        return Response(self.person.shown())

    @schema.change_me
    def patch(self, request: Request) -> Response:
        """Seen by every worker within a second."""
        nickname = _field(request, "nickname")
        return Response(services.nickname_change(person=self.person, nickname=nickname).shown())


class MyImage(_Own):
    """The person's picture."""

    parser_classes = (MultiPartParser,)

    @schema.image
    def put(self, request: Request) -> Response:
        """PNG, JPEG or WebP by content, 2 MiB at most; kept as WebP, without metadata."""
        files = request.FILES.getlist("image")
        if len(files) != 1:
            problem = "must not be given twice" if files else "is required, as a file"
            raise InvalidFieldError("image", problem)
        [file] = files
        # One byte more than is allowed is enough to be refused.
        return Response(
            services.image_upload(person=self.person, data=file.read(IMAGE_BYTES_MAX + 1)).shown()
        )


class MySessions(_Own):
    """Where the person is logged in."""

    @schema.sessions
    def get(self, request: Request) -> Response:
        """The live sessions, the newest first. The last use is up to a minute behind."""
        current = self.person.session_id
        sessions = selectors.sessions_of(self.person.user_id)
        return Response([_shown(session, current) for session in sessions])


class MySession(_Own):
    """One of the person's sessions."""

    @schema.end_session
    def delete(self, request: Request, session_id: UUID) -> Response:
        """Logs that device out: its token is refused everywhere within a second."""
        services.session_end(person=self.person, session_id=session_id, address=self.address)
        return Response(status=204)


def _shown(session: Session, current: UUID) -> dict[str, Any]:
    return {
        "id": session.pk,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
        "device": session.device,
        "address": session.address,
        "current": session.pk == current,
    }
