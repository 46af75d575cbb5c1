"""The audit: one row for each thing that happened to an account, in the transaction that did it."""

from typing import Any

from django.utils import timezone

from accounts.models import AUDIT_TEXT_CHARACTERS, AuditEvent
from accounts.people import Person
from commons.rows import insert_row

Kind = AuditEvent.Kind


def audit_write(
    *, kind: Kind, user_id: int | None, username: str, address: str = "", detail: str = ""
) -> None:
    """Add an entry. Texts are cut to fit; what no column can hold becomes a question mark."""
    entry = audit_entry(
        kind=kind, user_id=user_id, username=username, address=address, detail=detail
    )
    insert_row(AuditEvent, entry)


def audit_person(kind: Kind, person: Person, address: str, detail: str = "") -> None:
    """Add an entry about what somebody did from `address`."""
    audit_write(
        kind=kind,
        user_id=person.user_id,
        username=person.username,
        address=address,
        detail=detail,
    )


def audit_entry(
    *, kind: Kind, user_id: int | None, username: str, address: str = "", detail: str = ""
) -> dict[str, Any]:
    """The columns of an entry, for a statement that does more than to add it."""
    return {
        "at": timezone.now(),
        "kind": kind.value,
        "user_id": user_id,
        "username": _fitting(username),
        "address": _fitting(address),
        "detail": _fitting(detail),
    }


def _fitting(text: str) -> str:
    text = text[:AUDIT_TEXT_CHARACTERS].encode(errors="replace").decode()
    return "".join(character if character.isprintable() else "?" for character in text)
