"""Who may look: tokens, names of hosts, and files that are no links."""

import hashlib
import hmac
import os
import secrets
import socket
import stat
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

from vidnst.errors import ConfigError

SHORTEST_TOKEN = 12


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides who may look.

    Args:
        host: what is listened on.
        port: it names the cookie, since browsers send cookies of a host to all its ports.
        token: what has to be known; None asks nothing of those on this machine.

    Raises:
        ConfigError: others than this machine are let in without a token, or with a short one.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        if token is None and not is_loopback(host):
            raise ConfigError(
                f"--host {host} lets others than this machine look, and there is no token",
                "add --token, or set VIDNST_TOKEN; `openssl rand -hex 16` makes one",
            )
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ConfigError(
                f"the token has {len(token)} characters, fewer than {SHORTEST_TOKEN}",
                "`openssl rand -hex 16` makes one",
            )
        self._host = host
        self._token = token
        self._cookie = f"vidnst_{port}"
        self._pass = (
            "" if token is None else hmac.new(secrets.token_bytes(32), token.encode(), hashlib.sha256).hexdigest()
        )

    def knows_host(self, header: str | None) -> bool:
        """Whether a request names this server as one who meant it would: a page elsewhere whose name was made to
        point here (DNS rebinding) cannot have a name of this machine, nor a bare address.
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

    def lets_in(self, *, authorization: str | None, cookie: str | None, query: str | None) -> bool:
        """Whether one of the places where a token may stand has it."""
        if self._token is None:
            return True
        bearer = (authorization or "").removeprefix("Bearer ")
        return _same(bearer, self._token) or _same(query or "", self._token) or _same(self._kept(cookie), self._pass)

    def cookie(self) -> str | None:
        """What a browser that showed the token gets: good until this server ends."""
        return f"{self._cookie}={self._pass}; Path=/; HttpOnly; SameSite=Strict" if self._token is not None else None

    def _kept(self, header: str | None) -> str:
        jar: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            jar.load(header or "")
        return jar[self._cookie].value if self._cookie in jar else ""


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell how far they are."""
    return bool(wanted) and hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _host_of(header: str) -> str | None:
    """The name in a Host header, without its port; None for what is no name."""
    if header.startswith("["):
        name, end, rest = header[1:].partition("]")
        return name if end and (not rest or rest.startswith(":")) else None
    name, _, port = header.partition(":")
    return name.lower() if name and (not port or port.isdecimal()) else None


def open_inside(folder: Path, *parts: str) -> BinaryIO:
    """A file below a folder, no part of the way there a link.

    Raises:
        OSError: it is not there, is no plain file, or a link is on the way.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            deeper = os.open(part, flags, dir_fd=at)
        finally:
            os.close(at)
        at = deeper
    if not stat.S_ISREG(os.fstat(at).st_mode):
        os.close(at)
        raise OSError(f"{'/'.join(parts)} is no file")
    return os.fdopen(at, "rb")
