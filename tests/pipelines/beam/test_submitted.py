"""A job is submitted again where its workers were lost, and no more often than that."""

from collections.abc import Callable, Iterator

import pytest

from pipelines.beam.failures import ClusterUnready, WorkersLost
from pipelines.beam.submitted import resubmitted
from pipelines.errors import PipelineError

LOST = WorkersLost("stage pack failed: a worker has died; what it has finished is kept")


def failing(*errors: Exception) -> Callable[[], None]:
    """A job that ends with each of these in turn, and then well."""
    left: Iterator[Exception] = iter(errors)

    def submit() -> None:
        for error in left:
            raise error

    return submit


def test_a_job_whose_workers_are_lost_is_submitted_again_and_each_loss_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert resubmitted(failing(LOST, LOST), (0, 0)) == (LOST.what, LOST.what)
    assert capsys.readouterr().err == f"{LOST.what}; submitted again in 0 s\n" * 2


def test_a_job_that_always_loses_its_workers_ends_after_the_last_try() -> None:
    with pytest.raises(WorkersLost, match=r"what it has finished is kept: run again$"):
        resubmitted(failing(LOST, LOST, LOST), (0, 0))


def test_a_cluster_that_lost_its_workers_may_be_unready_for_a_while(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unready = ClusterUnready("Flink at a:1 has no task manager")
    assert resubmitted(failing(LOST, unready), (0, 0)) == (LOST.what,)
    assert capsys.readouterr().err == (
        f"{LOST.what}; submitted again in 0 s\n{unready}; asked again in 0 s\n"
    )
    with pytest.raises(ClusterUnready, match="no task manager"):
        resubmitted(failing(LOST, unready, unready), (0, 0))


def test_a_cluster_that_is_unready_from_the_start_is_told_at_once() -> None:
    submit = failing(ClusterUnready("Flink at a:1 has no task manager"))
    with pytest.raises(ClusterUnready, match="no task manager"):
        resubmitted(submit, (0, 0))
    submit()  # it had been asked once


def test_a_defect_is_not_submitted_again() -> None:
    defect = PipelineError("stage pack, bucket a, failed: KeyError: 'C'")
    submit = failing(defect)
    with pytest.raises(PipelineError, match="KeyError"):
        resubmitted(submit, (0, 0))
    submit()  # it had been asked once
