"""Write docker/hashes.txt and docker/hashes-cuda.txt: all packages of the images, with versions and hashes.

    python docker/lock.py

pip resolves docker/requirements.txt and what builds vidnst, and chooses files as it would for the images. So this runs
on Linux on x86-64 with the images' version of Python; it needs the index that pip is set up with, and room for some
gigabytes. Nothing is installed. The second file has torch and its CUDA libraries; the CPU image has another torch.
"""

import hashlib
import json
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
PROJECT = HERE.parent / "pyproject.toml"
CUDA = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)")
"""Packages of the second file."""


def digest(requirements: bytes) -> str:
    """The line by which a file of hashes names the requirements that it was made from."""
    return f"# docker/requirements.txt: sha256 {hashlib.sha256(requirements).hexdigest()}"


def normalized(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Resolve, and write both files."""
    if problem := unsuitable():
        sys.stderr.write(f"{problem}\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        wheels = ["--only-binary", ":all:", "--no-cache-dir"]
        build = tomllib.loads(PROJECT.read_text("utf-8"))["build-system"]["requires"]
        subprocess.run([*command, *wheels, "--report", str(report), "-r", str(REQUIREMENTS), *build], check=True)
        resolved = json.loads(report.read_text("utf-8"))["install"]
    lines = dict(map(locked, resolved))
    first = digest(REQUIREMENTS.read_bytes())
    for name, of_cuda in (("hashes.txt", False), ("hashes-cuda.txt", True)):
        chosen = [lines[package] for package in sorted(lines) if bool(CUDA.fullmatch(package)) is of_cuda]
        text = "\n".join(["# Made by docker/lock.py; do not edit.", first, *chosen])
        (HERE / name).write_text(f"{text}\n", "utf-8")
        sys.stdout.write(f"docker/{name}: {len(chosen)} packages\n")
    return 0


def unsuitable() -> str | None:
    """Why the files of this machine are not those of the images; None if they are."""
    wanted = re.search(r"^ARG PYTHON=(\d+\.\d+)", (HERE / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    python = ".".join(platform.python_version_tuple()[:2])
    if wanted and wanted[1] != python:
        return f"run this with Python {wanted[1]}, the images' version, not {python}"
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "run this on Linux on x86-64, or in a container of the images' base"
    return None


def locked(package: dict[str, dict[str, dict[str, dict[str, str]]]]) -> tuple[str, str]:
    """A package's name, and its line: the version, and the hash of the file that was chosen."""
    facts = package["metadata"]
    name = normalized(str(facts["name"]))
    return (
        name,
        f"{name}=={facts['version']} --hash=sha256:{package['download_info']['archive_info']['hashes']['sha256']}",
    )


if __name__ == "__main__":
    sys.exit(main())
