"""compose.yaml: as Compose's own rules see it, and what its services run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

ROOT = Path(__file__).parents[2]


def compose(**environment: str) -> dict[str, Any]:
    """The file with its variables put in, as `docker compose config` does."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(re.sub(r"\$\{(\w+):-([^}]*)\}", lambda at: environment.get(at[1], at[2]), text))
    assert isinstance(found, dict)
    return found


def check(content: dict[str, Any]) -> None:
    compose_spec.PyCompose.from_json(json.dumps(content)).validate()


def test_it_is_a_compose_file() -> None:
    check(compose())
    broken = compose()
    broken["services"]["gpu"]["shm_sise"] = "8gb"
    with pytest.raises(ValueError, match="shm_sise"):
        check(broken)


@pytest.mark.parametrize("service", ["cpu", "gpu"])
def test_services_run_what_the_image_can(service: str, dockerfile: Any, dry_run: Callable[..., Any]) -> None:
    found = compose(GPUS="2", RECIPE="recipes/quickstart_gru.yaml", RUN="mine")["services"][service]
    assert found["profiles"] == [service]
    words = [*dockerfile.stages[-1].one("ENTRYPOINT").words, *found["command"]]
    assert "--auto-resume" in words
    assert words[words.index("--run-dir") + 1] == "runs/mine"
    result = dry_run(words)
    assert "gru" in result.stdout
    folder = dockerfile.stages[-1].one("WORKDIR").rest
    mounted = dict(volume.split(":")[:2] for volume in found["volumes"])
    assert mounted["./runs"] == f"{folder}/runs"
    assert found["read_only"]
    assert found["stop_grace_period"] == "60s"


def test_gpus_are_reserved_with_room_to_talk() -> None:
    gpu = compose(GPUS="4")["services"]["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "4", "capabilities": ["gpu"]}
    assert gpu["command"][-2:] == ["--processes", "4"]
    assert gpu["shm_size"] == "8gb"
    assert gpu["ulimits"]["memlock"] == -1


def test_the_gpu_image_is_built_as_the_dockerfile_says(dockerfile: Any) -> None:
    base = compose()["services"]["gpu"]["build"]["args"]["BASE"]
    assert f"BASE={base}" in "\n".join(dockerfile.comments)
