"""Who asks: a token is an owner; without tokens there is one, and only this machine may ask."""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from skycue.errors import ConfigError, SkycueError
from skycue.service.names import LOCAL, owner_of
from skycue.service.service import Service

MIN_TOKEN = 16
"""Characters of a token at least."""
ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=")
"""Characters of a bearer token (RFC 6750, section 2.1)."""


class UnauthorizedError(SkycueError):
    """A request has no token, or an unknown one."""


class Tokens:
    """The tokens that the server knows; of each only what it became, so none can leak."""

    def __init__(self, tokens: list[str]) -> None:
        """Take tokens; none lets everybody in who can reach the server.

        Raises:
            ConfigError: If one is too short or holds other characters than a header may.
        """
        for number, token in enumerate(tokens, start=1):
            if len(token) < MIN_TOKEN or not set(token) <= ALLOWED:
                raise ConfigError(
                    f"token {number} is not allowed: a token has at least {MIN_TOKEN} letters, "
                    "digits or -._~+/=. Make one by `python -c 'import secrets; "
                    "print(secrets.token_urlsafe(24))'`."
                )
        self._owners = frozenset(owner_of(token) for token in tokens)

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Read tokens from a file, one a line; empty lines and those with # are left out.

        Raises:
            ConfigError: If it cannot be read, holds none, or others than its owner can read it.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            is_open = path.stat().st_mode & 0o077
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the tokens in {path}: {error}.") from error
        if is_open:
            raise ConfigError(f"others can read {path}: `chmod 600` it, for it holds secrets.")
        tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not tokens:
            raise ConfigError(f"{path} holds no token: write one a line.")
        return cls(tokens)

    @property
    def are_needed(self) -> bool:
        """Requests must bring one."""
        return bool(self._owners)

    def owner(self, token: str | None) -> str:
        """Return the owner that a token stands for.

        Raises:
            UnauthorizedError: If it is none of the tokens.
        """
        if not self._owners:
            return LOCAL
        owner = owner_of(token or "")
        if token is None or owner not in self._owners:
            raise UnauthorizedError(
                "a token is needed: send the header 'Authorization: Bearer TOKEN' with one that "
                "the server's operator gave you."
            )
        return owner


def _service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _owner_of(
    request: Request,
    given: Annotated[
        HTTPAuthorizationCredentials | None,
        Depends(HTTPBearer(auto_error=False, description="A token, where the server wants one.")),
    ],
) -> str:
    tokens: Tokens = request.app.state.tokens
    return tokens.owner(None if given is None else given.credentials)


TheService = Annotated[Service, Depends(_service_of)]
"""The service that a route asks."""
Owner = Annotated[str, Depends(_owner_of)]
"""Whose rasters, jobs and results a route may touch."""
