"""How passwords are stored: argon2id with the parameters that OWASP gives, 19 MiB, t=2, p=1."""

import hashlib
from hmac import compare_digest
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher, BasePasswordHasher, mask_hash


class Argon2idHasher(Argon2PasswordHasher):
    """Argon2id at 19 MiB, two passes, one lane: about 27 ms a check on one core."""

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1


class UnsaltedMD5Hasher(BasePasswordHasher):
    """MD5 of the password alone, imported from elsewhere: 32 hexadecimal digits, `md5$$` before
    them or not. Django knows the form and no longer brings the hasher.

    Only to verify: nothing is stored so, and what is verified is encoded anew.
    """

    algorithm = "unsalted_md5"

    def verify(self, password: str, encoded: str) -> bool:
        """Whether the password is right."""
        digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
        return compare_digest(self._digits(encoded), digest)

    def decode(self, encoded: str) -> dict[str, Any]:
        """The parts of the stored form."""
        return {"algorithm": self.algorithm, "salt": None, "hash": self._digits(encoded)}

    def safe_summary(self, encoded: str) -> Any:
        """What the admin may show."""
        return {"algorithm": self.algorithm, "hash": mask_hash(self._digits(encoded))}

    def must_update(self, encoded: str) -> bool:
        """Always."""
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing: who verifies makes up for the time."""

    def _digits(self, encoded: str) -> str:
        return encoded.removeprefix("md5$$").lower()
