"""The images: pinned, without secrets and root, with all that runs need."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from container_definitions import INFRA, stages

STAGES = stages()
BUILT = ("server", "store", "worker")
ROOT = INFRA.parent


def rest_of(stage, word):
    return [each.rest for each in STAGES[stage] if each.word == word]


def arguments():
    return dict(rest.partition("=")[::2] for rest in rest_of("", "ARG"))


def test_foreign_images_have_an_exact_tag_and_a_place_for_a_digest():
    foreign = [rest.split()[0] for name in STAGES if name for rest in rest_of(name, "FROM")]
    foreign = [image for image in foreign if image not in STAGES]
    assert foreign == ["${PYTHON}${PYTHON_DIGEST}", "${MINIO}${MINIO_DIGEST}"]
    known = arguments()
    assert all(re.fullmatch(r"[\w/.]+:[\w.-]*\d{2,}[\w.-]*", known[n]) for n in ("PYTHON", "MINIO"))
    assert known["PYTHON_DIGEST"] == known["MINIO_DIGEST"] == ""


@pytest.mark.parametrize("stage", BUILT)
def test_images_run_as_a_fixed_user_who_is_not_root(stage):
    assert rest_of(stage, "USER") == ["10001:10001"]
    assert STAGES[stage][-1].word == "CMD"


def test_the_worker_is_what_is_built_without_a_target():
    assert list(STAGES)[-1] == "worker"


@pytest.mark.parametrize("stage", ["server", "worker"])
def test_every_python_package_is_pinned(stage):
    installs = [rest for rest in rest_of(stage, "RUN") if "pip install" in rest]
    assert installs
    assert all("--constraint /tmp/constraints.txt" in r or "--no-deps" in r for r in installs)
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    for name in ("prefect", "prefect-redis", "prefect-kubernetes", "torch", "torchvision"):
        assert re.search(rf"^{name}==[\d.]+$", pins, re.MULTILINE), name


def test_the_image_installs_what_the_project_asks_for(capsys, monkeypatch):
    (run,) = [rest for rest in rest_of("worker", "RUN") if "tomllib" in rest]
    code = re.search(r'python -c "(.*?)"', run)[1].replace("/tmp/", f"{ROOT}/")
    extras = [rest for rest in rest_of("worker", "ARG") if rest.startswith("EXTRAS=")]
    (names,) = shlex.split(extras[0].partition("=")[2])
    monkeypatch.setattr(sys, "argv", ["-c", *names.split()])
    exec(code, {})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = capsys.readouterr().out.split("\n")
    assert {*project["dependencies"], "prefect-kubernetes"} <= set(asked)


@pytest.mark.parametrize("stage", STAGES)
def test_no_secret_is_in_a_layer(stage):
    words = " ".join(each.rest for each in STAGES[stage] if each.word in {"ARG", "ENV"})
    assert not re.search(r"(?i)password|secret|token|auth_string|access_key", words)
    assert not rest_of(stage, "ADD")


def test_the_build_is_sent_the_packages_and_no_env_files():
    lines = (INFRA / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert {"dot_kernels", "tasks", "flows", "infra", "pyproject.toml", "constraints.txt"} <= kept
    assert all((ROOT / name).exists() for name in kept)
    assert lines[-1] == "**/*.env"


def test_sigterm_reaches_what_the_image_runs():
    assert rest_of("base", "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(rest_of("base", "ENTRYPOINT")[0]) == ["/usr/bin/tini", "--"]
    assert all(rest.startswith("[") for name in BUILT for rest in rest_of(name, "CMD"))


def test_networks_that_are_fetched_lie_on_a_volume():
    (caches,) = rest_of("worker", "ENV")
    places = dict(word.split("=") for word in caches.split())
    assert rest_of("worker", "VOLUME") == ["/cache"]
    assert all(Path(places[name]).is_relative_to("/cache") for name in ("HF_HOME", "TORCH_HOME"))


def test_a_container_sees_no_gpu_that_it_has_not_asked_for():
    assert not [rest for stage in STAGES for rest in rest_of(stage, "ENV") if "NVIDIA" in rest]


@pytest.fixture
def installed(tmp_path):
    """Runs the step of the worker's image that installs torch; returns its code and pip's words."""
    (run,) = [rest for rest in rest_of("worker", "RUN") if "torch torchvision" in rest]
    script = re.sub(r"--mount=\S+ ", "", run)
    defaults = dict(shlex.split(rest)[0].partition("=")[::2] for rest in rest_of("worker", "ARG"))
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "torchvision.py").touch()
    (tmp_path / "pip").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\n')
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in ("pip", "python"):
        (tmp_path / name).chmod(0o755)

    def build(cuda, **arguments):
        (modules / "torch.py").write_text(f"class version: cuda = {cuda!r}\n")
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(modules)}
        words = tmp_path / "words"
        words.unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", "-c", script],
            env=environment | defaults | arguments,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, words.read_text().split() if words.exists() else []

    return build


def test_an_image_for_gpus_has_the_usual_wheels(installed):
    done, words = installed("13.0")
    assert done.returncode == 0, done.stderr
    assert words == ["install", "--constraint", "/tmp/constraints.txt", "torch", "torchvision"]


def test_an_image_without_gpus_has_the_wheels_that_it_is_told_of(installed):
    done, words = installed(None, DEVICE="cpu", CPU_WHEELS="--only-binary :all:")
    assert done.returncode == 0, done.stderr
    assert words[3:] == ["--only-binary", ":all:", "torch", "torchvision"]
    done, words = installed(None, DEVICE="cpu")
    assert done.returncode != 0
    assert words == []
    assert "CPU_WHEELS: must be the options of pip for wheels without CUDA, got none" in done.stderr


def test_an_image_without_gpus_that_got_cuda_all_the_same_is_not_built(installed):
    done, _ = installed("13.0", DEVICE="cpu", CPU_WHEELS="--only-binary :all:")
    assert (done.returncode, done.stderr) == (1, "CPU_WHEELS has wheels with CUDA\n")
    done, words = installed(None, DEVICE="tpu")
    assert (done.returncode, words) == (1, [])
    assert done.stderr == "DEVICE must be cuda or cpu, got tpu\n"
