"""Rows by plain SQL are those that Django would read and write."""

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InternalError,
    ProgrammingError,
    transaction,
)
from django.utils import timezone
from django_prometheus.db import execute_total

from accounts.models import AuditEvent, User
from commons.rows import columns_of, fetch_row, find_row, insert_row, insertion, row_of
from config import wiring

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
    seven, *values = fetch_row(statement, {"key": "ann"})
    found = row_of(User, values)
    assert (seven, found) == (7, made)
    assert found.date_joined == made.date_joined
    assert found.nickname == "A."


def test_a_statement_is_prepared_counted_and_part_of_the_transaction():
    columns = ("at", "kind", "username", "address", "detail")
    statement = f"WITH added AS ({insertion(AuditEvent, columns, prefix='e_')}) SELECT %(n)s::int"
    values = {"at": timezone.now(), "kind": "login", "username": "'", "address": "", "detail": ""}
    parameters = {f"e_{name}": value for name, value in values.items()}
    before = execute_total.labels("default", "postgresql")._value.get()
    with transaction.atomic():
        assert fetch_row(statement, {**parameters, "n": 1}) == (1,)
        assert AuditEvent.objects.get().username == "'"
        prepared = fetch_row("SELECT count(*) FROM pg_prepared_statements", {})
        transaction.set_rollback(True)
    assert prepared >= (1,)
    assert not AuditEvent.objects.exists()
    assert execute_total.labels("default", "postgresql")._value.get() >= before + 3


@pytest.mark.django_db(transaction=True)
def test_a_prepared_statement_survives_a_migration_of_its_columns():
    def change(statement):
        # By another process: this one does not notice.
        with wiring.connect() as other:
            other.execute(statement)

    change("CREATE TABLE narrow (name varchar(5))")
    try:
        change("INSERT INTO narrow VALUES ('ann')")
        assert fetch_row("SELECT name FROM narrow", {}) == ("ann",)
        change("ALTER TABLE narrow ALTER name TYPE varchar(50)")
        for _ in range(2):
            assert fetch_row("SELECT name FROM narrow", {}) == ("ann",)
    finally:
        change("DROP TABLE narrow")


def test_the_errors_of_a_fetched_row_are_django_s():
    with pytest.raises(DataError), transaction.atomic():
        fetch_row("SELECT 1 / %(by)s::int", {"by": 0})
    with transaction.atomic():
        with pytest.raises(ProgrammingError):
            fetch_row("SELECT nothing", {})
        with pytest.raises(InternalError):
            fetch_row("SELECT 1", {})
        transaction.set_rollback(True)
