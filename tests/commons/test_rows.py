"""Rows by plain SQL are those that Django would read and write."""

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import AuditEvent, User
from commons.rows import find_row, insert_row

pytestmark = pytest.mark.django_db


def test_a_row_is_found_as_django_finds_it():
    made = User.objects.create_user("Ann", "ann@example.org", "correct horse", nickname="A.")
    found = find_row(User, "username_key", "ann")
    assert found == made
    wanted = User.objects.get(pk=made.pk)
    assert {f.attname: getattr(found, f.attname) for f in User._meta.concrete_fields} == {
        f.attname: getattr(wanted, f.attname) for f in User._meta.concrete_fields
    }
    found.nickname = "B."
    found.save()
    assert User.objects.get().nickname == "B."


def test_what_is_not_there_is_none():
    assert find_row(User, "username_key", "nobody") is None


def test_a_row_is_inserted_with_nulls_for_what_is_left_out():
    now = timezone.now()
    values = {"at": now, "kind": "login", "username": "x' \\ ü", "address": "", "detail": "50 %"}
    insert_row(AuditEvent, values)
    entry = AuditEvent.objects.get()
    assert {name: getattr(entry, name) for name in values} == values
    assert entry.user_id is None


def test_the_database_s_errors_are_django_s():
    with pytest.raises(IntegrityError):
        insert_row(AuditEvent, {"kind": "login"})
