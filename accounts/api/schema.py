"""What the OpenAPI schema says about each endpoint: bodies, and every answer."""

from functools import partial
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiResponse, extend_schema

from accounts.api import shapes
from commons.schema import faults, retry_after

_MEANINGS = {
    400: "The request is not valid; `msg` names the field and says why.",
    401: "No valid session.",
    404: "There is no such thing.",
    409: "The username is taken.",
    415: "The body is of another type.",
    429: "Too many failures; again after `Retry-After` s.",
    503: "A store is away, or too much at once; nothing was done. Again after `Retry-After` s.",
}
_faults = partial(faults, shapes.AccountFault, _MEANINGS)
_BODY = (400, 413, 415, 503, 504)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names a session."""

    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A token in the `Authorization` header."""
        return {"type": "http", "scheme": "bearer", "description": "The token of a login."}


def _endpoint(name: str, summary: str, answers: dict[int, Any], **more: Any) -> dict[str, Any]:
    """What `extend_schema` takes."""
    waits = [status for status in (429, 503) if status in answers]
    return {
        "operation_id": name,
        "summary": summary,
        "tags": ["people"],
        "parameters": [retry_after(*waits)],
        "responses": answers,
        **more,
    }


register = extend_schema(
    **_endpoint(
        "user_register",
        "Make an account",
        {201: shapes.PersonShown, **_faults(409, *_BODY)},
        request=shapes.Registration,
        auth=[],
    )
)
login = extend_schema(
    **_endpoint(
        "user_login",
        "Log in",
        {
            200: shapes.LoggedIn,
            **_faults(429, *_BODY),
            401: OpenApiResponse(
                shapes.AccountFault,
                description="No such user, or a wrong password; nobody says which.",
            ),
        },
        request=shapes.Credentials,
        auth=[],
    )
)
logout = extend_schema(
    **_endpoint(
        "user_logout",
        "Log out",
        {204: OpenApiResponse(description="The session has ended."), **_faults(401, 503)},
        request=None,
    )
)
password = extend_schema(
    **_endpoint(
        "user_password",
        "Change the password",
        {
            204: OpenApiResponse(
                description="The password is changed, all other sessions have ended."
            ),
            **_faults(429, *_BODY),
            401: OpenApiResponse(
                shapes.AccountFault, description="No valid session, or a wrong old password."
            ),
        },
        request=shapes.PasswordInput,
    )
)
me = extend_schema(
    **_endpoint("user_me", "Who I am", {200: shapes.PersonShown, **_faults(401, 503)})
)
change_me = extend_schema(
    **_endpoint(
        "user_change",
        "Change the nickname",
        {200: shapes.PersonShown, **_faults(401, *_BODY)},
        request=shapes.NicknameInput,
    )
)
image = extend_schema(
    **_endpoint(
        "user_image",
        "Change the picture",
        {200: shapes.PersonShown, **_faults(401, *_BODY)},
        request={"multipart/form-data": shapes.ImageInput},
    )
)
sessions = extend_schema(
    **_endpoint(
        "user_sessions",
        "Where I am logged in",
        {200: shapes.SessionShown(many=True), **_faults(401, 503)},
    )
)
end_session = extend_schema(
    **_endpoint(
        "user_session_end",
        "Log a device out",
        {204: OpenApiResponse(description="That session has ended."), **_faults(401, 404, 503)},
    )
)
