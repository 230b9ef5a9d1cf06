"""What Google Cloud Dataflow would refuse of a build's options, found before anything is submitted:
by Beam's own validator, and by what we ask of the image.

Beam brings the classes of these options along. Submitting a job, and whether a bucket or an image
is there, takes Google's clients, which are packages of their own.
"""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from typing import Final

from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

from pipelines.beam.options import Engine, option
from pipelines.beam.quiet_import import PipelineOptions, beam
from pipelines.errors import WrongArgument
from pipelines.extras import MissingExtra

_BY_DIGEST: Final = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_FOLDERS: Final = ("temp_location", "staging_location")


def check_dataflow(engine: Engine) -> None:
    """Check the options of a build on Dataflow; nothing is asked over the network.

    Raises `WrongArgument` for an image without a digest, and for what Beam's validator refuses;
    `MissingExtra` where a job could not be submitted from here.
    """
    _check_image(option(engine, "sdk_container_image"))
    refused = list(_refused(engine.options))
    if refused:
        raise WrongArgument(
            f"Dataflow would refuse these options of --beam: {'; '.join(refused)}; nothing was "
            "submitted"
        )
    if not _clients_are_here():
        raise MissingExtra(
            "Google's clients, by which runner DataflowRunner submits, are not installed; pip "
            f"install 'apache-beam[gcp]=={beam.version.__version__}', as WITH_GCP=1 "
            "infra/container/layers.sh does"
        )


def _check_image(image: str) -> None:
    """A tag may be moved while jobs run, and the workers of a build must all be the same."""
    if _BY_DIGEST.fullmatch(image):
        return
    tagged = image.partition("@")[0]
    raise WrongArgument(
        f"--beam sdk_container_image={image} is not named by a digest, and a tag may be moved "
        f"while jobs run: name it {re.sub(r':[^:/]*$', '', tagged)}@sha256:…, as `docker buildx "
        f"imagetools inspect {tagged}` shows it"
    )


def _refused(options: Sequence[str]) -> Iterator[str]:
    """What is wrong with options, in Beam's words; the folders first, because Beam would go and
    make a bucket of its own where both are wrong.
    """
    # --dry_run: Beam does not ask the buckets what they are
    given = PipelineOptions([*options, "--runner=DataflowRunner", "--dry_run=True"])
    validator = PipelineOptionsValidator(given, DataflowRunner())
    cloud = given.view_as(GoogleCloudOptions)
    wrong = [
        error
        for name in _FOLDERS
        if getattr(cloud, name) is not None
        for error in validator.validate_gcs_path(cloud, name)
    ]
    yield from (error.rstrip(".?") for error in wrong or validator.validate())


def _clients_are_here() -> bool:
    try:
        return importlib.util.find_spec("google.cloud.dataflow") is not None
    except ModuleNotFoundError:  # not even google.cloud
        return False
