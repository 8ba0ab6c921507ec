"""Random names: nobody guesses one, and none comes from a client."""

import hashlib
import secrets

SHARED = ""
"""Owner of what everybody may see and nobody may change."""
LOCAL = "local"
"""Owner where the server wants no token."""


def new_id(kind: str) -> str:
    """Return an id of 128 random bits behind a letter that says what it names, such as `r`."""
    return f"{kind}_{secrets.token_urlsafe(16)}"


def stable_id(kind: str, *parts: str) -> str:
    """Return the id of something that the command line names, equal from run to run."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{kind}_{digest[:22]}"


def owner_of(token: str) -> str:
    """Return what stands for a token in the database, which does not hold the token."""
    return hashlib.sha256(f"skycue owner {token}".encode()).hexdigest()[:32]
