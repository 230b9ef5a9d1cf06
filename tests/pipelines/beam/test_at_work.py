"""Workers that fall silent are noticed; those that work are not."""

import threading
from pathlib import Path

from pipelines.beam.at_work import Signs, Silence
from pipelines.storage.store import Store
from tests.support.waiting import until

FOLDER = "runs/1/at_work"


def test_silence_is_told_once_a_worker_shows_no_signs_and_not_while_it_does(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    signs = Signs(store, FOLDER, every_s=0.01)
    silence, fell = Silence(store, FOLDER, limit_s=0.5), threading.Event()
    with silence.awaited(fell.set):
        with signs.shown():
            first = store.names(FOLDER)
            assert len(first) == 1
            until(lambda: store.names(FOLDER) != first, "another sign", 10)
            assert not silence.fell
        until(fell.is_set, "silence", 10)
    signs.end()
    assert silence.fell
    assert store.names(FOLDER) == []
