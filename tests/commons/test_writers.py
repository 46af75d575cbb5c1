"""Rows are written by the services and by what they call, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The services of each domain, and the modules through which they write.
WRITERS = {
    "adserver": {"services.py", "storing.py"},
    "accounts": {
        *("services.py", "logins.py", "lockout.py", "operators.py", "audit.py"),
        *("session_rows.py", "session_ends.py", "purging.py", "seeding.py", "models.py"),
    },
    "counters": {"services.py", "applying.py"},
    "timeseries": {"stores/postgres.py", "stores/postgres_apply.py"},
    "commons": {"rows.py"},
    "config": set(),
    # The tables in which a drain keeps what it has applied.
    "runtime": {"drain.py"},
}
METHODS = {
    *("save", "create", "update", "delete", "get_or_create", "update_or_create"),
    *("bulk_create", "bulk_update", "asave", "acreate", "aupdate", "adelete"),
}
# What rows are written through, as far as names can tell.
ROWS = re.compile(
    r"\.objects\b|_default_manager|\bqueryset\b|^(obj|user|ad|session|same|self|super\(\))$"
)
FUNCTIONS = {"insert_row", "insertion"}
STATEMENT = re.compile(
    r"\b(INSERT INTO|DELETE FROM|UPDATE \S+ SET|MERGE INTO|TRUNCATE)\b|^COPY .*FROM STDIN"
)


def writes(module: ast.AST) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=receiver, attr=name)):
                if name in METHODS and ROWS.search(ast.unparse(receiver)):
                    yield f"{node.lineno}: {ast.unparse(receiver)}.{name}("
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                yield f"{node.lineno}: {name}("
            case ast.Constant(value=str(text)):
                if found := STATEMENT.search(" ".join(text.split())):
                    yield f"{node.lineno}: {found[0]}"


def modules(domain: str) -> Iterator[Path]:
    for path in sorted((ROOT / domain).rglob("*.py")):
        name = path.relative_to(ROOT / domain)
        if "migrations" not in name.parts and str(name) not in WRITERS[domain]:
            yield path


def test_nobody_else_writes_rows():
    found = [
        f"{path.relative_to(ROOT)}:{write}"
        for domain in WRITERS
        for path in modules(domain)
        for write in writes(ast.parse(path.read_text()))
    ]
    assert found == []


def test_every_writer_writes():
    """Or it need not be among them, and the search can fail."""
    idle = [
        f"{domain}/{name}"
        for domain, names in WRITERS.items()
        for name in sorted(names)
        if not list(writes(ast.parse((ROOT / domain / name).read_text())))
    ]
    assert idle == []
