"""The containers' files, held against the project: same versions, nothing missing, no root, nothing left floating."""

import hashlib
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = ("docker/Dockerfile", "docker/Dockerfile.cpu")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def _steps(dockerfile: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile, continuation lines joined: `("RUN", "apt-get update && ...")`."""
    lines = [line for line in (ROOT / dockerfile).read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def _values(dockerfile: str, instruction: str) -> list[str]:
    return [rest for word, rest in _steps(dockerfile) if word == instruction]


def _copied(dockerfile: str) -> list[str]:
    """What comes from the build context."""
    copies = [rest.split() for rest in _values(dockerfile, "COPY") if not rest.startswith("--from=")]
    return [source.rstrip("/") for words in copies for source in words[:-1]]


def _pinned() -> dict[str, Requirement]:
    lines = (ROOT / "docker/requirements.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def _let_through(path: str) -> bool:
    """Whether .dockerignore sends a path to the builder: the last line that matches it or a folder above it decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").split("\n"):
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").rstrip("/")
        above = [path, *map(str, Path(path).parents)]
        if any(fnmatch(part, pattern) or fnmatch("/" + part, pattern.replace("**", "*")) for part in above):
            ignored = not line.startswith("!")
    return not ignored


def test_every_dependency_is_pinned_within_its_range() -> None:
    wanted = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["project"]["dependencies"])}
    pins = _pinned()
    assert sorted(pins) == sorted(wanted)
    for name, pin in pins.items():
        (only,) = pin.specifier
        assert only.operator == "==", f"{pin} does not pin a version"
        assert "*" not in only.version, f"{pin} does not pin a version"
        assert wanted[name].specifier.contains(only.version), f"{pin} is outside {wanted[name]}"
        assert pin.extras == wanted[name].extras, f"{pin} has other extras than {wanted[name]}"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_images_install_hashed_files_only(dockerfile: str) -> None:
    first, *others, last = [line for line in _values(dockerfile, "RUN") if "pip install" in line]
    assert "--require-hashes" in first
    assert "--no-deps" in first
    assert "-r docker/hashes.txt" in first
    assert ("-r docker/hashes-cuda.txt" in first) == (dockerfile == "docker/Dockerfile")
    assert len(others) == (dockerfile == "docker/Dockerfile.cpu"), "only torch of another index has no hashes"
    assert all("-r docker/requirements.txt" in line for line in others)
    assert "--no-deps --no-build-isolation ." in last
    assert last.endswith("pip check")


def _hashed(name: str) -> dict[str, str]:
    """Versions of a file of hashes by package; each line has exactly one hash."""
    first, second, *lines = (ROOT / "docker" / name).read_text("utf-8").splitlines()
    assert first.startswith("# Made by docker/lock.py")
    digest = hashlib.sha256((ROOT / "docker/requirements.txt").read_bytes()).hexdigest()
    assert second == f"# docker/requirements.txt: sha256 {digest}", "run docker/lock.py: the requirements have changed"
    found = {}
    for line in lines:
        match = re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}", line)
        assert match, line
        found[match[1]] = match[2]
    assert list(found) == sorted(found)
    assert len(found) == len(lines)
    return found


def test_hashes_are_those_of_the_requirements() -> None:
    plain, cuda = _hashed("hashes.txt"), _hashed("hashes-cuda.txt")
    assert not set(plain) & set(cuda)
    versions = plain | cuda
    for name, pin in _pinned().items():
        assert pin.specifier.contains(versions[name]), f"{name} {versions[name]} is hashed, {pin} required"
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(plain[canonicalize_name(requirement.name)])
    assert {"torch", "torchvision"} <= set(cuda)
    assert not [name for name in plain if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.parametrize("name", ["hashes.txt", "hashes-cuda.txt", "requirements.txt", "lock.py"])
def test_locked_files_name_no_index(name: str) -> None:
    assert "://" not in (ROOT / "docker" / name).read_text("utf-8")


def test_both_images_have_same_allowed_python() -> None:
    tags = {
        dict([rest.split("=", 1)])["PYTHON"]
        for file in DOCKERFILES
        for rest in _values(file, "ARG")
        if "PYTHON" in rest
    }
    (tag,) = tags
    version = tag.partition("-")[0]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(f"{version}.0")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_base_images_are_versioned(dockerfile: str) -> None:
    arguments = dict(rest.split("=", 1) for rest in _values(dockerfile, "ARG") if "=" in rest)
    bases = [rest.split()[0] for rest in _values(dockerfile, "FROM")]
    assert bases
    for base in bases:
        image = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
        _, colon, tag = image.partition(":")
        assert colon, f"{image} has no tag"
        assert re.match(r"\d", tag), f"{image} names no version"
        assert "latest" not in tag


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_copied_files_exist_and_are_not_ignored(dockerfile: str) -> None:
    assert _copied(dockerfile)
    for source in _copied(dockerfile):
        assert (ROOT / source).exists(), f"{dockerfile} copies {source}, which is not there"
        assert _let_through(source), f".dockerignore keeps {source} from the builder"


def test_dockerignore_excludes_everything_else() -> None:
    for path in (".git", ".venv/lib", "tests/conftest.py", "samples/studio/sky.py", "docker/README.md", "out.mp4"):
        assert not _let_through(path), path
    assert _let_through("vidnst/config.py")
    assert not _let_through("vidnst/__pycache__/config.cpython-311.pyc")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_all_inputs_of_the_wheel_are_copied(dockerfile: str) -> None:
    project, hatch = PROJECT["project"], PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *hatch["packages"],
        *hatch["force-include"],
    ]
    missing = set(needed) - set(_copied(dockerfile))
    assert not missing, f"{dockerfile} does not copy {missing}"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_container_user_is_not_root_and_can_write(dockerfile: str) -> None:
    steps = _steps(dockerfile)
    users = [number for number, (word, _) in enumerate(steps) if word == "USER"]
    assert steps[users[-1]][1] not in ("root", "0")
    made = next(rest for word, rest in steps if word == "RUN" and "useradd" in rest)
    assert steps[users[-1]][1] in made
    environment = " ".join(_values(dockerfile, "ENV"))
    home = re.search(r"TORCH_HOME=(\S+)", environment)
    assert home
    for folder in (home[1], _values(dockerfile, "WORKDIR")[-1]):
        assert re.search(rf"install -d -o (\w+) -g \1 .*{folder}\b", made), f"{folder} is not the user's"
    assert f'["{home[1]}"]' in _values(dockerfile, "VOLUME")
    assert all(number < users[-1] for number, (word, rest) in enumerate(steps) if word == "RUN" and "apt-get" in rest)


def test_gpu_image_requests_compute_and_video_drivers() -> None:
    environment = " ".join(_values("docker/Dockerfile", "ENV"))
    match = re.search(r"NVIDIA_DRIVER_CAPABILITIES=(\S+)", environment)
    assert match
    assert set(match[1].split(",")) == {"compute", "video", "utility"}


def test_images_differ_only_in_gpu_support() -> None:
    def comparable(dockerfile: str) -> list[tuple[str, str]]:
        steps = [
            step for step in _steps(dockerfile) if not re.search(r"TORCH_WHEELS|docker/(hashes|requirements)", step[1])
        ]
        return [(word, re.sub(r" +NVIDIA_\w+=\S+", "", rest)) for word, rest in steps]

    assert comparable("docker/Dockerfile") == comparable("docker/Dockerfile.cpu")


def test_readme_builds_both_images() -> None:
    text = (ROOT / "docker/README.md").read_text("utf-8")
    for dockerfile in DOCKERFILES:
        assert f"docker build -f {dockerfile} " in text
    for words in ("--shm-size", "--gpus all", "TORCH_HOME", "NVIDIA_DRIVER_CAPABILITIES", ":/weights"):
        assert words in text


def test_readme_commands_use_files_in_the_images() -> None:
    text = (ROOT / "docker/README.md").read_text("utf-8")
    inside = set(re.findall(r"/opt/vidnst/(samples/\S+\.\w+)", text))
    assert inside
    for path in inside:
        assert (ROOT / path).is_file()
        assert any(path == source or path.startswith(f"{source}/") for source in _copied("docker/Dockerfile.cpu"))
