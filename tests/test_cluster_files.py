"""Compose and Kubernetes files, held against the images and the project: one Ray, known fields, nothing of one site."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from vidnst.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ("docker/kuberay/raycluster.yaml", "docker/kuberay/rayjob.yaml")
COMPOSE = ("docker/compose.yaml", "docker/compose.gpu.yaml")
CLUSTER_FIELDS = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"),
}
JOB_FIELDS = {
    *("entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"),
    "rayClusterSpec",
}


def _read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / file).read_text("utf-8"))
    return content


def _cluster(file: str) -> dict[str, Any]:
    spec: dict[str, Any] = _read(file)["spec"]
    return spec.get("rayClusterSpec", spec)


def _ray_version() -> str:
    lines = (ROOT / "docker/requirements.txt").read_text("utf-8").splitlines()
    (pin,) = (Requirement(line) for line in lines if line.startswith("ray["))
    (only,) = pin.specifier
    return str(only.version)


def _containers(file: str) -> list[dict[str, Any]]:
    cluster = _cluster(file)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


@pytest.mark.parametrize("file", MANIFESTS)
def test_manifests_name_the_images_ray_version(file: str) -> None:
    assert _cluster(file)["rayVersion"] == _ray_version()


@pytest.mark.parametrize(("file", "kind"), [(MANIFESTS[0], "RayCluster"), (MANIFESTS[1], "RayJob")])
def test_manifests_have_the_fields_of_their_kind_only(file: str, kind: str) -> None:
    manifest = _read(file)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    if kind == "RayJob":
        assert set(manifest["spec"]) == JOB_FIELDS
    cluster = _cluster(file)
    assert set(cluster) == CLUSTER_FIELDS
    assert cluster["authOptions"] == {"mode": "token"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["maxReplicas"] > group["minReplicas"], "nothing to scale"
    assert cluster["enableInTreeAutoscaling"] is True
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_both_manifests_describe_one_cluster() -> None:
    assert _cluster(MANIFESTS[0]) == _cluster(MANIFESTS[1])


def test_services_run_on_the_two_local_images() -> None:
    images = {container["image"] for file in MANIFESTS for container in _containers(file)}
    for file in COMPOSE:
        for service in _read(file)["services"].values():
            images.add(service["image"])
            build = service["build"]
            assert (ROOT / "docker" / build["context"] / build["dockerfile"]).resolve().is_file()
    assert images == {"vidnst:cpu", "vidnst:gpu"}


@pytest.mark.parametrize("file", [*MANIFESTS, *COMPOSE])
def test_files_have_no_site_specific_paths_or_addresses(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert not re.search(r"/(?:home|Users|work|mnt|srv)/", text)
    addresses = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text))
    assert addresses <= {"127.0.0.1", "0.0.0.0"}


def test_compose_needs_token_and_binds_to_localhost() -> None:
    services = _read(COMPOSE[0])["services"]
    for service in services.values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert set(services) == set(_read(COMPOSE[1])["services"])


def test_compose_limits_every_container() -> None:
    for name, service in _read(COMPOSE[0])["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"] > 0
        assert service["mem_limit"].startswith("${VIDNST_MEMORY:-")
        assert service["shm_size"]
        assert any(mount.startswith("/tmp:") and "size=" in mount for mount in service["tmpfs"])
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    for service in _read(COMPOSE[1])["services"].values():
        assert service["mem_limit"].startswith("${VIDNST_MEMORY:-")
        assert not {"read_only", "cap_drop", "security_opt", "pids_limit", "privileged", "cap_add"} & set(service)


@pytest.mark.parametrize("file", ["README.md", "docker/README.md", "docker/compose.yaml"])
def test_token_is_made_before_ray_is_started(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    starts = [match.start() for match in re.finditer(r"ray\W+start\b.*--head|\bstart --head|\"--head\"", text)]
    assert starts
    made = re.search(
        r"\(umask 077 && ray get-auth-token --generate|RAY_AUTH_TOKEN=\"\$\(openssl rand -hex 32\)\"", text
    )
    assert made
    assert made.start() < min(starts)
    assert "RAY_AUTH_MODE" in text


def test_readme_has_the_sockets_and_no_open_home() -> None:
    text = (ROOT / "docker/README.md").read_text("utf-8")
    for port in ("6379", "8265", "10001", "44217", "44227", "52365"):
        assert port in text
    assert "nft add rule" in text
    assert "HOME=/tmp" not in text


def test_documented_render_commands_parse() -> None:
    text = (ROOT / "docker/README.md").read_text("utf-8")
    commands = [_read(MANIFESTS[1])["spec"]["entrypoint"]]
    commands += re.findall(r"vidnst (render /data\S* .*)", text)
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command)
        words = words[words.index("render") :]
        said = CliRunner().invoke(app, words)  # there are no such files, but there are such options and settings
        assert said.exit_code == 1, said.output
        assert getattr(said.exception, "exit_code", None) == 3, said.exception


@pytest.mark.parametrize("file", [*MANIFESTS, *COMPOSE])
def test_readme_mentions_each_file(file: str) -> None:
    assert file in (ROOT / "docker/README.md").read_text("utf-8")


def test_images_have_wget_for_kuberay_health_checks() -> None:
    for name in ("Dockerfile", "Dockerfile.cpu"):
        assert " wget " in (ROOT / "docker" / name).read_text("utf-8")
