"""Small material for the listening page: a clip whose captions differ from its labels in known
ways, under names that try to leave their place.
"""

from pathlib import Path

from flows.screens.report.write import Material
from pipelines.shards.find import find_shards
from schemas.agreement import LabelAgreement
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change, LedgerRow, Outcome, Source, Unit
from schemas.fact import FactKind
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import KEY, our_sample, write_build
from tests.support.fact_forms import fact_of

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!-- \u2028 ${1} \\"
SENTENCES = (
    f"A {HOSTILE} flute.",
    "The key is C minor.",
    "It runs at 120 BPM in 3/4.",
    "Instruments: flute.",
)
FACTS = (
    fact_of(FactKind.KEY, "C minor", 1), fact_of(FactKind.BPM, "120", 2),
    fact_of(FactKind.METER, "3", 2), fact_of(FactKind.INSTRUMENT, "flute", 3),
)  # fmt: skip
CAPTION = Caption(
    text=" ".join(SENTENCES),
    kind=CaptionKind.PARAPHRASE,
    sentences=SENTENCES,
    facts=FACTS,
    writer=HOSTILE,
)
SOURCE = Source(
    uri=f"/music/{HOSTILE}.wav",
    title=HOSTILE,
    artist=HOSTILE,
    genre=HOSTILE,
    licence=HOSTILE,
    metadata='{"__proto__": {"isOwned": true}}',
)
UNUSED = (
    LedgerRow(
        unit=Unit.INPUT,
        key=HOSTILE,
        uri=f"/music/{HOSTILE}",
        stage="probe",
        outcome=Outcome.DEAD,
        code="undecodable",
        message=HOSTILE,
    ),
    LedgerRow(
        unit=Unit.SAMPLE,
        key="quiet",
        uri="/music/quiet.wav",
        stage="filter",
        outcome=Outcome.REJECTED,
        code="silent",
        figure="0.993 silent, limit 0.5",
    ),
)


def hostile_samples() -> tuple[Sample, ...]:
    """An original, and a variant of it two semitones higher."""
    orig = our_sample(captions=(CAPTION,), source=SOURCE)
    higher = our_sample(
        "pu2",
        captions=(CAPTION,),
        source=SOURCE,
        change=Change(variant="pu2", semitones=2),
        key_label=orig.key_label.replaced(tonic=11),
    )
    return orig, higher


def hostile_material(folder: Path) -> Material:
    """Material of a build of these samples, made in a folder."""
    found = find_shards(str(write_build(folder / "build", *hostile_samples())))
    again = {KEY: LabelAgreement(beats=0.6, key=1.0)}
    return Material(name=HOSTILE, version="1", found=found, unused=UNUSED, heard_again=again)
