"""`DATA_DIR/operator.json`: the name, password and token of the first operator."""

import json
import secrets
from pathlib import Path

from config.private_files import write_private

OPERATOR_FILE = "operator.json"


def operator_credentials(data_dir: Path) -> dict[str, str]:
    """The credentials kept in `data_dir` (mode 0600), made at random on first use.

    They are on disk before anything uses them, so a crash at any moment leaves either nothing or
    credentials that the next start puts into the database.
    """
    path = data_dir / OPERATOR_FILE
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        pass
    credentials = {
        "username": "operator",
        "password": secrets.token_urlsafe(15),
        "token": secrets.token_hex(20),
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(credentials))
    return credentials
