"""deploy/kubernetes: valid by the schemas of Kubernetes and of Kubeflow Trainer, at one with itself, and runnable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubeflow_trainer_api.models as trainer
import kubernetes_validate
import pytest

from dpdrun.distributed.launcher import GRACE_S
from dpdrun.errors import EXIT_FINDINGS, EXIT_STOPPED

VERSIONS = ("1.31", "1.37")  # podFailurePolicy is stable since 1.31
MODELS = {"TrainJob": trainer.TrainerV1alpha1TrainJob, "TrainingRuntime": trainer.TrainerV1alpha1TrainingRuntime}
TORCH = {  # what Kubeflow Trainer sets, for the second of two nodes
    "PET_NNODES": "2", "PET_NPROC_PER_NODE": "4", "PET_NODE_RANK": "1",
    "PET_MASTER_ADDR": "quickstart-node-0-0.quickstart", "PET_MASTER_PORT": "29500",
}  # fmt: skip

Manifests = Callable[[str], dict[str, dict[str, Any]]]


def pod_of(manifests: Manifests, name: str) -> dict[str, Any]:
    """The pod template of a file."""
    found = manifests(name)
    if "Job" in found:
        return found["Job"]["spec"]["template"]["spec"]
    (job,) = found["TrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_of_kubernetes_are_valid(version: str, manifests: Manifests) -> None:
    found = manifests("job.yaml")
    assert set(found) == {"PersistentVolumeClaim", "Service", "Job"}
    for content in found.values():
        kubernetes_validate.validate(content, version, strict=True)
    found["Job"]["spec"]["podFailurPolicy"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="podFailurPolicy"):
        kubernetes_validate.validate(found["Job"], version, strict=True)


def test_objects_of_kubeflow_are_valid(manifests: Manifests) -> None:
    found = manifests("trainjob.yaml")
    assert set(found) == set(MODELS)
    for kind, content in found.items():
        model = MODELS[kind].from_dict(content)
        assert model.to_dict() == content, "a field that the API does not have gets lost"
    (job,) = found["TrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "node"}, "spec": job["template"]["spec"]}
    kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["job.yaml", "trainjob.yaml"])
def test_pods_are_those_that_the_image_wants(name: str, dockerfile: Any, manifests: Manifests) -> None:
    pod = pod_of(manifests, name)
    (container,) = pod["containers"]
    final = dockerfile.stages[-1]
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy wants it
    assert pod["terminationGracePeriodSeconds"] > 2 * GRACE_S
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == final.one("USER").rest
    assert "command" not in container, "the entrypoint of the image"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == set(volumes)
    assert mounts["runs"] == f"{final.one('WORKDIR').rest}/runs"
    assert mounts["cache"] in final.one("ENV").rest
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert mounts["tmp"] == "/tmp"
    assert (mounts["shm"], volumes["shm"]["emptyDir"]["medium"]) == ("/dev/shm", "Memory")
    claim = manifests("job.yaml")["PersistentVolumeClaim"]
    assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 600
    assert "dpdrun" in " ".join(container["livenessProbe"]["exec"]["command"])


def test_only_what_is_hopeless_ends_a_job(manifests: Manifests) -> None:
    job = manifests("job.yaml")["Job"]["spec"]
    actions = {}
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes", {})
        assert codes.get("containerName", "dpdrun") == job["template"]["spec"]["containers"][0]["name"]
        actions[tuple(codes.get("values", ["disrupted"]))] = rule["action"]
    assert actions == {(EXIT_STOPPED,): "Ignore", ("disrupted",): "Ignore", (EXIT_FINDINGS,): "FailJob"}
    assert job["backoffLimit"] > 0
    runtime = manifests("trainjob.yaml")["TrainingRuntime"]["spec"]["template"]["spec"]
    (rule,) = runtime["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    inner = runtime["replicatedJobs"][0]["template"]["spec"]
    assert inner["backoffLimit"] == 0, "the JobSet restarts, all pods together"
    assert [each["onExitCodes"]["values"] for each in inner["podFailurePolicy"]["rules"]] == [[EXIT_FINDINGS]]


def test_pods_of_the_job_find_each_other(manifests: Manifests) -> None:
    found = manifests("job.yaml")
    job, service = found["Job"], found["Service"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = container["args"]
    value = {flag: words[words.index(flag) + 1] for flag in ("--hosts", "--rank", "--rendezvous", "--processes")}
    assert job["spec"]["completionMode"] == "Indexed"
    assert int(value["--hosts"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert value["--processes"] == container["resources"]["limits"]["nvidia.com/gpu"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]  # pods are ready when training runs, which needs the names
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    host, _, port = value["--rendezvous"].partition(":")
    assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert port.isdigit()


@pytest.mark.parametrize("index", ["0", "1"])
def test_the_job_runs(
    index: str, dockerfile: Any, manifests: Manifests, expanded: Callable[..., list[str]], dry_run: Callable[..., Any]
) -> None:
    (container,) = pod_of(manifests, "job.yaml")["containers"]
    words = [*dockerfile.stages[-1].one("ENTRYPOINT").words, *container["args"]]
    environment = {"JOB_COMPLETION_INDEX": index}
    words = expanded(words, environment)
    assert words[words.index("--rank") + 1] == index
    dry_run(words, **environment)
    assert container["livenessProbe"]["exec"]["command"][2] == words[words.index("--run-dir") + 1]


def test_the_trainjob_runs(
    dockerfile: Any, manifests: Manifests, expanded: Callable[..., list[str]], dry_run: Callable[..., Any]
) -> None:
    found = manifests("trainjob.yaml")
    asked = found["TrainJob"]["spec"]["trainer"]
    assert asked["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == str(asked["numProcPerNode"])
    assert found["TrainJob"]["spec"]["runtimeRef"]["name"] == found["TrainingRuntime"]["metadata"]["name"]
    environment = TORCH | {each["name"]: each["value"] for each in asked["env"]}
    assert not [name for name in environment if name in ("RANK", "WORLD_SIZE")]
    (container,) = pod_of(manifests, "trainjob.yaml")["containers"]
    assert container["name"] == "node", "the one whose arguments and environment a TrainJob sets"
    words = expanded([*dockerfile.stages[-1].one("ENTRYPOINT").words, *container["args"]], environment)
    assert words[2] == "recipes/quickstart.yaml"
    assert words[-1] == "quickstart-node-0-0.quickstart:29500"
    dry_run(words, **environment)
