"""An annotator of keys for tests that stop a run in the middle: it works on until the file that
`OBBLIGATO_TEST_GO` names is there.
"""

import os
from pathlib import Path

from pipelines.annotators.batch import WaveBatch
from schemas.labels import KeyLabel
from tests.support.plug_ins.plain_annotator import annotate_key as plain_key


def annotate_key(batch: WaveBatch) -> list[KeyLabel]:
    """The plain annotator's keys, once it may go."""
    go = Path(os.environ["OBBLIGATO_TEST_GO"])
    go.with_suffix(".reached").touch()
    while not go.exists():
        pass
    return plain_key(batch)
