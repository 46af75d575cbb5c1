"""A table for the length of a test, and the messages that PostgreSQL is sent."""

import pytest
from django.db import connection

from commons import pipeline


@pytest.fixture
def noted(transactional_db):
    # What another test has prepared is not for this one.
    end_connection()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE noted (what text NOT NULL, at text[])")
    yield
    end_connection()


def end_connection() -> None:
    """What is temporary, and what was prepared for it, ends with the connection."""
    if connection.connection is not None:
        connection.connection.close()
    connection.close()


@pytest.fixture
def sent(monkeypatch):
    """The messages that are sent from now on."""
    messages: list[list[str]] = []
    real = pipeline.say

    def say(to, message):
        messages.append([command.text.decode().partition(" AS ")[0] for command in message])
        real(to, message)

    monkeypatch.setattr(pipeline, "say", say)
    return messages
