"""What listens on which address: the sockets of processes, from Linux's /proc."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_LISTENS = "0A"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A TCP socket that accepts connections."""

    address: str
    port: int
    process: str


def descendants(pid: int) -> set[int]:
    """Return a process with all that it has started, and that they have."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has just ended
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(pids: Iterable[int]) -> list[Listener]:
    """Return what these processes listen on, in the order of addresses and ports."""
    names = {inode: name for pid in pids for inode, name in _sockets(pid)}
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *rest = line.split()
            if state == _LISTENS and rest[5] in names:
                address, _, port = local.partition(":")
                found.append(Listener(_address(address), int(port, 16), names[rest[5]]))
    return sorted(found)


def _sockets(pid: int) -> list[tuple[str, str]]:
    """Inodes of a process's sockets, each with the name of the process."""
    found = []
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = os.path.basename(words[0].decode(errors="replace"))
        if name.startswith("python") and len(words) > 2:  # it is a script that has a name
            name = next((os.path.basename(os.fsdecode(word)) for word in words[1:] if word.endswith(b".py")), name)
        for link in Path(f"/proc/{pid}/fd").iterdir():
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
            if match:
                found.append((match[1], name))
    except OSError:  # it has just ended, or closed one
        pass
    return found


def _address(text: str) -> str:
    """An address as people write it, from /proc's words in the order of the machine's bytes."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    address: IPv4Address | IPv6Address = ip_address(b"".join(words))
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)
