"""Rows by plain SQL are those that Django would read and write."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_prometheus.db import execute_total

from accounts.models import AuditEvent, User
from commons.prepared import Named, fetch
from commons.rows import columns_of, find_row, insert_row, insertion, row_of

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


def test_a_row_that_is_fetched_makes_what_django_would_read():
    made = User.objects.create_user("Ann", "ann@example.org", "correct horse", nickname="A.")
    statement = f"SELECT 7, {columns_of(User)} FROM accounts_user WHERE username_key = %(key)s"
    seven, *values = fetch(Named.of("test_found", statement), {"key": "ann"})
    found = row_of(User, values)
    assert (seven, found) == (7, made)
    assert found.date_joined == made.date_joined
    assert found.nickname == "A."


def test_a_row_is_inserted_in_a_statement_that_is_counted_and_part_of_the_transaction():
    columns = ("at", "kind", "username", "address", "detail")
    added = insertion(AuditEvent, columns, prefix="e_", source="(VALUES (1)) AS one")
    statement = f"WITH added AS ({added}) SELECT %(n)s::int"
    values = {"at": timezone.now(), "kind": "login", "username": "'", "address": "", "detail": ""}
    parameters = {f"e_{name}": value for name, value in values.items()}
    before = execute_total.labels("default", "postgresql")._value.get()
    with transaction.atomic():
        assert fetch(Named.of("test_added", statement), {**parameters, "n": 1}) == (1,)
        assert AuditEvent.objects.get().username == "'"
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()
    assert execute_total.labels("default", "postgresql")._value.get() >= before + 2
