"""The one kind of failure an engineer sees from the devstack: a clear line, exit code 1."""


class StackError(Exception):
    """Something the engineer can put right; its text is the whole message."""
