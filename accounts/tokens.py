"""Session tokens: random, opaque, and kept by their digest only. Pure."""

import secrets
from hashlib import sha256

TOKEN_BYTES = 32
# What `secrets.token_urlsafe` makes of them.
TOKEN_CHARACTERS = 43


def new_token() -> str:
    """256 random bits as 43 characters that need no escaping anywhere."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str | bytes) -> bytes:
    """The 32 bytes that a token is kept and looked up under.

    One round without salt: nobody guesses 256 random bits. Looking digests up also means that how
    long a comparison takes tells nothing about a token.
    """
    return sha256(token if isinstance(token, bytes) else token.encode(errors="replace")).digest()
