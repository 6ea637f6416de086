"""Access to the server: tokens, host names, and files that are no links."""

import hashlib
import hmac
import secrets
import socket
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

from vidnst.errors import ConfigError, RunError
from vidnst.runs.safe_files import MAX_IMAGE_BYTES, open_file

MIN_TOKEN_LENGTH = 12


def is_loopback(host: str) -> bool:
    """True if only this machine can reach a server that listens on a host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class AccessGuard:
    """Decides which requests are answered.

    Args:
        host: the host that the server listens on.
        port: its port, which names the cookie, since browsers send cookies of a host to all its ports.
        token: the secret that a request must present; None lets every request from this machine pass.

    Raises:
        ConfigError: other machines could connect without a token, or the token is too short.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        if token is None and not is_loopback(host):
            raise ConfigError(
                f"--host {host} lets other machines connect, and there is no token",
                "add --token, or set VIDNST_TOKEN; `openssl rand -hex 16` makes one",
            )
        if token is not None and len(token) < MIN_TOKEN_LENGTH:
            raise ConfigError(
                f"the token has {len(token)} characters, fewer than {MIN_TOKEN_LENGTH}",
                "`openssl rand -hex 16` makes one",
            )
        self._host = host
        self._token = token
        self._cookie_name = f"vidnst_{port}"
        self._session_key = (
            "" if token is None else hmac.new(secrets.token_bytes(32), token.encode(), hashlib.sha256).hexdigest()
        )

    def allows_host(self, header: str | None) -> bool:
        """True if the Host header of a request names this server.

        A foreign page whose name was made to point here (DNS rebinding) has neither a name of this machine nor a bare
        address in it.
        """
        name = _host_of(header or "")
        if name is None:
            return False
        if name == "localhost" or is_loopback(name):
            return True
        if is_loopback(self._host):
            return False
        try:
            ip_address(name)
        except ValueError:
            own = socket.gethostname().lower()
            return name in {self._host.lower(), own, own.partition(".")[0], f"{own}.local"}
        return True

    def allows(self, *, authorization: str | None, cookie: str | None, query: str | None) -> bool:
        """True if the Authorization header, the cookie or the query of a request presents the token."""
        if self._token is None:
            return True
        bearer = (authorization or "").removeprefix("Bearer ")
        session_key = self._session_key_in(cookie)
        return _same(bearer, self._token) or _same(query or "", self._token) or _same(session_key, self._session_key)

    def cookie(self) -> str | None:
        """The cookie for a browser that presented the token, valid until this server ends; None without a token."""
        if self._token is None:
            return None
        return f"{self._cookie_name}={self._session_key}; Path=/; HttpOnly; SameSite=Strict"

    def _session_key_in(self, header: str | None) -> str:
        jar: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            jar.load(header or "")
        return jar[self._cookie_name].value if self._cookie_name in jar else ""


def _same(presented: str, expected: str) -> bool:
    """True if two texts are equal, in a time that does not reveal how much of them is."""
    return bool(expected) and hmac.compare_digest(presented.encode(errors="replace"), expected.encode())


def _host_of(header: str) -> str | None:
    """The name in a Host header, without its port; None if it is malformed."""
    if header.startswith("["):
        name, end, rest = header[1:].partition("]")
        return name if end and (not rest or rest.startswith(":")) else None
    name, _, port = header.partition(":")
    return name.lower() if name and (not port or port.isdecimal()) else None


def open_inside(folder: Path, *parts: str) -> BinaryIO:
    """Open a file below a folder without following links.

    Raises:
        OSError: it is missing, is no regular file, or a part of its path is a link.
    """
    try:
        return open_file(folder.joinpath(*parts), max_bytes=MAX_IMAGE_BYTES)
    except RunError as error:
        raise OSError(str(error)) from error
