"""What keeps other users out of a Ray that is started here: a token, a private folder, and loopback addresses."""

import os
import secrets
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from vidnst.farm.ray.private_folder import PrivateFolder, write_secret

_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for clusters, on Linux too: without them it has the address 127.0.0.1, and binds nothing to others."""


class PrivateSession:
    """The surroundings of a local Ray, from before it starts until it has ended.

    Its token is made for it alone and is known only to its processes; it lies in a folder that only this user can
    enter, together with Ray's sockets and logs. The environment of this process, which Ray's processes inherit, is
    as before after `close`.

    Args:
        base: the folder of temporary files; its path must leave room for sockets.

    Raises:
        FarmError: the folder or the token cannot be made private.
    """

    def __init__(self, base: Path) -> None:
        with ExitStack() as stack:
            self.folder = stack.enter_context(PrivateFolder(base)).path
            token = self.folder / "token"
            write_secret(token, secrets.token_hex(32))
            environment = {
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(token),
                "RAY_AUTH_TOKEN": None,  # it would win over the file
                _CLUSTERS: "0",
            }
            stack.callback(_set_environment, _set_environment(environment))
            stack.callback(_set_clusters, _set_clusters(False))
            _reload_token()
            self._stack = stack.pop_all()

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for `ray.init`."""
        return {
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": str(self.folder / "r"),  # Ray opens it to all, but nobody gets there
        }

    def close(self) -> None:
        """Remove the folder and restore the environment, after Ray has ended."""
        self._stack.close()
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":  # else a thread that still ends would miss a token
            _reload_token()


def forget_token() -> None:
    """Let this process read the user's own token again, after an earlier Ray of its own."""
    _reload_token()


def _set_environment(values: dict[str, str | None]) -> dict[str, str | None]:
    """Set or unset variables; returns what they were."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def _set_clusters(enabled: bool) -> bool:
    """Set the switch of this process, which Ray has read from the environment when it was imported."""
    from ray._private import ray_constants

    before = bool(ray_constants.ENABLE_RAY_CLUSTER)
    ray_constants.ENABLE_RAY_CLUSTER = enabled
    return before


def _reload_token() -> None:
    """Make Ray read its mode and token again: it keeps those of its first session for the life of the process."""
    raylet: Any = import_module("ray._raylet")
    with suppress(AttributeError):  # it is no public interface
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
