"""Training on Kubernetes: a Job of core kinds (kubernetes_manifests.py), and kubectl.

One pod for each node; no operator is needed.

The Job starts a stopped pod again, without counting it as a failure, where training ended with a
checkpoint (status 75) or the cluster took the node away; so a run outlives evictions, and whoever
follows. Pods of several nodes find the first one by a headless Service.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, Final

from flows.errors import UsageError
from flows.launchers.job import Handle, JobEnd, ReportLine, TrainJob, digest, report_standing
from flows.launchers.kubernetes_manifests import LABEL, RUN, KubernetesSettings, manifests
from flows.launchers.kubernetes_pods import FirstLog, News, first_failure, index
from flows.launchers.programs import answer, patient, require

__all__ = ("KubernetesLauncher", "KubernetesSettings", "manifests")
_NEEDED: Final = "the kubernetes launcher calls it, with the context that it has"
_REQUESTED: Final = "obbligato/asked"  # annotation of a Job: the digest of what it was asked to do
_LAST_LINES: Final = 20  # of a pod that failed and was not listened to


class KubernetesLauncher:
    """Makes Jobs by kubectl."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    def check(self, job: TrainJob) -> None:
        """Raises `UsageError` where image or kubectl is missing, or the claim lacks the folder."""
        if not self._settings.image:
            raise UsageError(
                "the kubernetes launcher needs an image: "
                "--launch image=REGISTRY/obbligato:TAG, made by infra/container"
            )
        if not PurePosixPath(job.out).is_relative_to(self._settings.mount):
            claim, mount = self._settings.claim, self._settings.mount
            raise UsageError(
                f"{job.out}: pods write to the claim {claim} alone, "
                f"mounted at {mount}: name a folder below it"
            )
        require("kubectl", needed=_NEEDED)

    def find(self, job: TrainJob, report: ReportLine) -> Handle | None:
        """The Job of the same folder that is at work, given its nodes' Service if it lacks one."""
        reported = ""
        while found := patient(partial(self._standing, job), self._settings.poll_s, report):
            for one in found:
                metadata = one["metadata"]
                if "deletionTimestamp" not in metadata:
                    submitted = metadata.get("annotations", {}).get(_REQUESTED, "")
                    report_standing(
                        report,
                        f"Job {metadata['name']}",
                        submitted=submitted,
                        requested=self._digest(job),
                    )
                    self._serve(one, job)
                    return Handle(metadata["name"])
            name = found[0]["metadata"]["name"]
            if name != reported:
                report(f"Job {name} of this folder is ending: waited for")
            reported = name
            time.sleep(self._settings.poll_s)
        return None

    def submit(self, job: TrainJob) -> Handle:
        """Make the Job, and for several nodes its Service, which goes with it."""
        name = f"{job.name}-{uuid.uuid4().hex[:5]}"
        train = manifests(job, self._settings, name)[0]
        train["metadata"]["annotations"] = {_REQUESTED: self._digest(job)}
        try:
            self._serve(
                json.loads(
                    self._kubectl("create", "-f", "-", "-o", "json", given=json.dumps(train))
                ),
                job,
            )
        except BaseException as error:
            self._abandon(name, error)
            raise
        return Handle(name)

    def _serve(self, job_manifest: Mapping[str, Any], job: TrainJob) -> None:
        """Make the Service of a Job of several nodes, where there is none."""
        name = job_manifest["metadata"]["name"]
        several = job.replaced(nodes=job_manifest["spec"]["completions"])  # as it was submitted
        for service in manifests(several, self._settings, name)[1:]:
            owner = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": name,
                "uid": job_manifest["metadata"]["uid"],
            }
            service["metadata"]["ownerReferences"] = [owner]
            try:
                self._kubectl("create", "-f", "-", given=json.dumps(service))
            except UsageError as error:
                if "AlreadyExists" not in str(error):
                    raise

    def _abandon(self, name: str, error: BaseException) -> None:
        """Delete what a submission that was broken off, or went half way, has left."""
        try:
            self.cancel(Handle(name))
        except UsageError as second:
            namespace = self._settings.namespace
            raise UsageError(
                f"{str(error) or repr(error)}; Job {name} in namespace {namespace} may be there "
                f"and could not be deleted: {second}"
            ) from error

    def follow(self, handle: Handle, report: ReportLine) -> JobEnd:
        """Report the first pod's log, and its successors', until the Job is complete or has failed.

        Of all pods it tells why they do not start, and how they failed; of other nodes' pods that
        failed, their last lines as well.
        """
        report(f"Job {handle.name} in namespace {self._settings.namespace}")
        log, news, polls = FirstLog(self._settings.namespace), News(), 0
        try:
            while True:
                job, pods = patient(
                    lambda: (self._get("job", handle.name), self._pods(handle.name)),
                    self._settings.poll_s,
                    report,
                )
                polls += 1
                if polls == 2 and not pods:
                    report(
                        f"no pod yet: `kubectl -n {self._settings.namespace} describe job "
                        f"{handle.name}` says why, such as a quota"
                    )
                for line in chain(
                    news.waiting(pods),
                    log.lines(pods, self._settings.poll_s),
                    self._failures(news, pods),
                ):
                    report(line)
                ends = _ends(job) if log.is_read(pods) else {}
                if "Complete" in ends:
                    return JobEnd(0)
                if "Failed" in ends:
                    report(f"Job {handle.name} failed: {ends['Failed']}")
                    return JobEnd(first_failure(pods))
        finally:
            log.close()

    def _failures(self, news: News, pods: Sequence[Any]) -> Iterator[str]:
        """How pods failed, and what they printed last where nobody listened."""
        for one in news.failed(pods):
            yield one.message
            if one.is_own_error and index(one.pod) != "0":
                with suppress(UsageError):  # its node, and its log, may have gone
                    yield from self._kubectl(
                        "logs", f"--tail={_LAST_LINES}", f"pod/{one.pod['metadata']['name']}"
                    ).splitlines()

    def cancel(self, handle: Handle) -> None:
        """Delete the Job: its pods get SIGTERM and `grace_s` for their checkpoint.

        It is to be seen until they have gone.
        """
        self._kubectl(
            "delete",
            "job",
            handle.name,
            "--ignore-not-found",
            "--wait=false",
            "--cascade=foreground",
        )

    def _standing(self, job: TrainJob) -> list[Any]:
        """Jobs of the same folder that are not over."""
        return [
            one for one in self._get("jobs", "-l", f"{RUN}={job.name}")["items"] if not _ends(one)
        ]

    def _digest(self, job: TrainJob) -> str:
        return digest(json.dumps(manifests(job, self._settings, ""), sort_keys=True))

    def _pods(self, name: str) -> list[Any]:
        """Pods of a Job, oldest first."""
        found: list[Any] = self._get("pods", "-l", f"{LABEL}={name}")["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def _get(self, *what: str) -> Any:
        return json.loads(self._kubectl("get", *what, "-o", "json"))

    def _kubectl(self, *arguments: str, given: str = "") -> str:
        return answer(
            "kubectl",
            f"--namespace={self._settings.namespace}",
            *arguments,
            given=given,
            needed=_NEEDED,
        )


def _ends(job: Mapping[str, Any]) -> dict[str, str]:
    """Which ends a Job has come to, and why."""
    conditions = job.get("status", {}).get("conditions", [])
    true = [
        one
        for one in conditions
        if one["status"] == "True" and one["type"] in ("Complete", "Failed")
    ]
    return {
        one["type"]: f"{one.get('reason', '')} {one.get('message', '')}".strip() for one in true
    }


SETTINGS: type[KubernetesSettings] = KubernetesSettings


def open_launcher(settings: KubernetesSettings) -> KubernetesLauncher:
    """The launcher, ready for jobs."""
    return KubernetesLauncher(settings)
