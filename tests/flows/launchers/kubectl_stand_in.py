"""A stand-in of kubectl, with a controller that runs the pods of a Job as processes of this
machine.

Objects live in folders of OBBLIGATO_TEST_KUBERNETES, and stay there once they are deleted.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONTROLLER = "controller"


def install(folder: Path) -> None:
    folder.mkdir()
    (folder / "kubectl").write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} "$@"\n')
    (folder / "kubectl").chmod(0o755)


def home() -> Path:
    return Path(os.environ["OBBLIGATO_TEST_KUBERNETES"])


def write(name: str, value: Any) -> None:
    """Written at once, so that readers see it whole."""
    made = home() / f"{name}.{os.getpid()}.new"
    made.write_text(json.dumps(value))
    made.replace(home() / f"{name}.json")


def read(name: str) -> Any:
    return json.loads((home() / f"{name}.json").read_text())


def create(given: Any, output: bool) -> None:
    name, kind = given["metadata"]["name"], given["kind"].lower()
    if kind == "service" and (home() / "no-services").exists():
        sys.exit(f'Error from server (Forbidden): services "{name}" is forbidden')
    if (home() / f"{kind}-{name}.json").exists():
        sys.exit(f'Error from server (AlreadyExists): {kind} "{name}" already exists')
    if (home() / "slow").exists():  # the answer comes late
        (home() / "slow").rename(home() / "asked")
        while not (home() / "go").exists():
            time.sleep(0.02)
    made = {**given, "metadata": {**given["metadata"], "uid": f"uid-{name}"}, "status": {}}
    write(f"{kind}-{name}", made)
    if kind == "job":
        subprocess.Popen(
            [sys.executable, "-S", __file__, CONTROLLER, name],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    print(json.dumps(made) if output else f"{kind}/{name} created")


def expanded(word: str, variables: dict[str, str]) -> str:
    """As Kubernetes does it: $$ is $, $(NAME) the value of a variable that the container has,
    anything else as it is.
    """
    return re.sub(
        r"\$\$|\$\(([^)]*)\)",
        lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]),
        word,
    )


class Pods:
    """The pods of a Job, by index; ended ones have others in their place."""

    def __init__(self, name: str) -> None:
        self.job = read(f"job-{name}")
        self.name, self.made = name, 0
        self.running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(self, index: int) -> None:
        pod = f"{self.name}-{index}-{self.made}"
        container = self.job["spec"]["template"]["spec"]["containers"][0]
        command = [
            expanded(word, {"JOB_COMPLETION_INDEX": str(index)}) for word in container["args"]
        ]
        metadata = {
            "name": pod,
            "uid": f"uid-{pod}",
            "creationTimestamp": f"{self.made:06d}",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        }
        self.made += 1
        deadline = time.monotonic() + 30  # a test that has failed
        while (home() / f"late-{index}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        while (home() / f"no-image-{index}").exists() and time.monotonic() < deadline:
            waiting = {
                "name": "train",
                "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
            }
            write(
                f"pod-{pod}",
                {
                    "metadata": metadata,
                    "status": {"phase": "Pending", "containerStatuses": [waiting]},
                },
            )
            time.sleep(0.02)
        with (home() / f"{pod}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *command[1:]], stdout=log, stderr=log)
        self.running[index] = (pod, process)
        write(f"pod-{pod}", {"metadata": metadata, "status": {"phase": "Running"}})

    def stop(self) -> None:
        for index, (_, process) in self.running.items():
            process.terminate()
            process.wait()
            self.ended(index)

    def ended(self, index: int) -> int | None:
        pod, process = self.running[index]
        if (status := process.poll()) is not None:
            status = status if status >= 0 else 128 - status
            reason = "OOMKilled" if status == 137 else "Error"
            state = {
                "name": "train",
                "state": {
                    "terminated": {
                        "exitCode": status,
                        "reason": reason,
                        "finishedAt": str(time.time()),
                    }
                },
            }
            phase = "Failed" if status else "Succeeded"
            write(
                f"pod-{pod}",
                {**read(f"pod-{pod}"), "status": {"phase": phase, "containerStatuses": [state]}},
            )
        return status


def controller(name: str) -> None:
    """Runs pods until all have succeeded or the Job has failed, by its podFailurePolicy and
    backoffLimit.
    """
    pods = Pods(name)
    spec = pods.job["spec"]
    rules = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }
    left, failures = set(range(spec["completions"])), 0
    for index in left:
        pods.start(index)
    while left:
        time.sleep(0.02)
        if (home() / f"deleted-{name}").exists():
            pods.stop()
            (home() / f"gone-{name}").touch()
            return None
        for index in sorted(left):
            status = pods.ended(index)
            if status == 0:
                left.remove(index)
            elif status is not None:
                failures += rules.get(status) != "Ignore"
                if rules.get(status) == "FailJob" or failures > spec["backoffLimit"]:
                    pods.stop()
                    return end(
                        name,
                        "Failed",
                        reason="PodFailurePolicy" if status in rules else "BackoffLimitExceeded",
                    )
                pods.start(index)
    return end(name, "Complete")


def standing(file: str) -> Any:
    """A Job, which says that it is to go once it was deleted."""
    job = read(file)
    if (home() / f"deleted-{file.removeprefix('job-')}").exists():
        job["metadata"]["deletionTimestamp"] = "now"
    return job


def end(name: str, kind: str, reason: str = "") -> None:
    write(
        f"job-{name}",
        {
            **read(f"job-{name}"),
            "status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]},
        },
    )


def logs(pod: str, since: bool) -> None:
    """A pod's log, as it grows; what is asked for since a time is what is to come."""
    with (home() / f"{pod}.log").open() as opened:
        if since:
            opened.seek(0, os.SEEK_END)
        elif (cut := home() / "cut").exists():  # the connection breaks, once
            cut.unlink()
            return
        while True:
            over = read(f"pod-{pod}")["status"]["phase"] != "Running"
            sys.stdout.write(opened.read())
            sys.stdout.flush()
            if over:
                return
            time.sleep(0.02)


def main(arguments: list[str]) -> None:
    if arguments[0] == CONTROLLER:
        return controller(arguments[1])
    assert arguments[0] == "--namespace=obbligato", arguments
    verb, *words = arguments[1:]
    if verb == "create":
        create(json.loads(sys.stdin.read()), "json" in words)
    elif verb == "get" and words[0] == "job":
        if (home() / f"gone-{words[1]}").exists():
            sys.exit(f'Error from server (NotFound): jobs.batch "{words[1]}" not found')
        print(json.dumps(read(f"job-{words[1]}")))
    elif verb == "get" and words[0] == "jobs":
        key, _, value = words[2].partition("=")
        items = [
            standing(file.stem)
            for file in home().glob("job-*.json")
            if not (home() / f"gone-{file.stem[4:]}").exists()
        ]
        print(
            json.dumps(
                {"items": [item for item in items if item["metadata"]["labels"][key] == value]}
            )
        )
    elif verb == "get":
        name = words[2].partition("=")[2]
        print(
            json.dumps(
                {
                    "items": [
                        json.loads(file.read_text())
                        for file in sorted(home().glob(f"pod-{name}-*.json"))
                    ]
                }
            )
        )
    elif verb == "logs" and words[0].startswith("--tail="):
        lines = (home() / f"{words[1].removeprefix('pod/')}.log").read_text().splitlines()
        print("\n".join(lines[-int(words[0].removeprefix("--tail=")) :]))
    elif verb == "logs":
        logs(words[-1].removeprefix("pod/"), since=len(words) > 2)
    else:
        assert (verb, words[-1]) == ("delete", "--cascade=foreground"), arguments
        (home() / f"deleted-{words[1]}").touch()
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
