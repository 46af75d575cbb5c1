"""The embedded stack's secret key: made once, kept beside the data it protects."""

import os
import secrets
from pathlib import Path


def local_secret(data_dir: Path) -> str:
    """The key kept in `data_dir/secret_key` (mode 0600), made on first use.

    Several processes may ask at once: the key is written to a private file first and then
    linked into place, so that exactly one of them wins and nobody reads a half-written one.
    """
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        private = data_dir / f".secret_key.{os.getpid()}"
        private.touch(mode=0o600)
        private.write_text(secrets.token_urlsafe(48))
        try:
            os.link(private, path)
        except FileExistsError:
            pass
        finally:
            private.unlink()
    return path.read_text().strip()
