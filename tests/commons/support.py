"""Statements to try, and what one transaction does with them."""

from django.db import connection
from psycopg.pq import TransactionStatus

from commons.prepared import Call, Statement, transacting

ADD = Statement("test_add", "SELECT $1::int + $2::int", has_row=True)
NOTE = Statement("test_note", "INSERT INTO noted (what, at) VALUES ($1, $2)")
COUNT = Statement("test_count", "SELECT count(*) FROM noted", has_row=True)
GOOD, BAD = Call(NOTE, ["a", []]), Call(NOTE, [None, []])
LABELS = {"alias": "default", "vendor": "postgresql"}


def is_open() -> bool:
    status: TransactionStatus = connection.connection.info.transaction_status
    return status != TransactionStatus.IDLE


def transact(*messages: list[Call] | Exception) -> None:
    """One transaction of these messages, or raising that exception."""
    with transacting(few=True) as within:
        for number, message in enumerate(messages, start=1):
            if isinstance(message, Exception):
                raise message
            within.run(*message, last=number == len(messages))


def statements() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'test_%%'", [])
        (count,) = cursor.fetchone()
    return int(count)
