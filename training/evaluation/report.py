"""What an evaluation found, as it is stored in `report.json`."""

from typing import Final

from pydantic import Field, field_validator

from schemas.controls import AudioControls
from schemas.errors import SchemaError
from schemas.labels import Labels
from schemas.record import Record
from training.evaluation.clips import CheckpointFacts
from training.evaluation.judges.judge_report import JudgeReport
from training.evaluation.memorization.memorized import MemorizationReport
from training.evaluation.sound_report import SoundReport
from training.evaluation.steered.views import SteeredView
from training.generation.steered_facts import SteeredFacts
from training.metrics.controls import PromptControls
from training.metrics.frechet_infinity import ExtrapolatedDistance
from training.metrics.summary import Figure
from training.metrics.swap import SwapReport
from training.metrics.timing import AskedCurves, Timing

VERSION: Final = 3  # of the file's form


class Counts(Record):
    """Where clips went: `given = scored + dead + skipped`."""

    given: int
    scored: int
    dead: int  # cannot be decoded, or crash an annotator
    skipped: int  # rows and files that name no clip
    without_prompt: int  # of those scored: in distances between sets alone
    swaps: int  # of those scored: a prompt again with one control changed, in the swap test alone


class UnscoredClip(Record):
    """A file or row that is not scored, and why."""

    name: str
    reason: str


class SpaceFigures(Record):
    """Distances in an embedder's space.

    A figure is missing where there is nothing to compare with.
    """

    embedder: str
    version: str
    licence: str
    # whether a clip's vector is made of labels (our annotators', or those of its shard): likeness
    # then repeats what the control metrics say
    reads_labels: bool = False
    dimension: int = 0
    window_s: float = 0.0  # of sound that the embedder reads at once; of a clip the mean over them
    # mean over clips; the CLAP score, where the embedder is CLAP
    prompt_cosine: Figure | None = None
    # squared, as Fréchet audio distances are reported; of all vectors, more on one side or not
    frechet: float | None = None
    frechet_clips: int = 0
    reference_clips: int = 0
    # the same of equally many vectors on both sides, and without the bias of few: FAD∞
    frechet_infinity: ExtrapolatedDistance | None = None
    # that of two halves of the reference, at the same sizes: the zero of the scale
    frechet_zero: ExtrapolatedDistance | None = None
    classes: int = 0  # names whose texts a clip's vector is compared with, by softmax
    kl_sets: float | None = None  # of mean class distributions, reference from clips, in nats
    kl_pairs: Figure | None = None  # mean over clips whose reference is known
    # of the names a prompt asks for, the share among the nearest of its clip: mean over prompts
    # that ask for any
    concept_coverage: Figure | None = None

    @property
    def is_clap(self) -> bool:
        """Whether cosines with prompts are what is known as the CLAP score."""
        return self.embedder.startswith("clap")

    @property
    def cosine_name(self) -> str:
        """What the mean cosine of prompts and clips is called.

        >>> SpaceFigures(embedder="clap x", version="1", licence="?", window_s=10).cosine_name
        'CLAP score (mean over 10 s windows)'
        >>> SpaceFigures(embedder="b", version="1", licence="?", reads_labels=True).cosine_name
        'cosine of prompts and labels'
        """
        if self.reads_labels:
            return "cosine of prompts and labels"
        if self.is_clap:
            return f"CLAP score (mean over {self.window_s:g} s windows)"
        return "cosine of prompts and clips"


class ClipReport(Record):
    """One clip: what was requested, what was estimated, how it fares."""

    name: str
    # name of the clip whose prompt this is with one control changed: it counts in the swap test
    # alone
    swap_of: str = ""
    caption: str
    asked: PromptControls
    timing: Timing
    heard: PromptControls
    labels: Labels
    scores: dict[str, float]
    published: dict[str, float]
    curves: AskedCurves | None = None
    controls: AudioControls | None = None  # of the sound, where curves were asked for
    steered: SteeredFacts | None = None  # of a piece of ours that was led there
    view: SteeredView | None = None  # of its sound
    timeline: dict[str, float] = Field(
        default_factory=dict
    )  # how it fares against the asked timeline
    cosine: float | None = None
    # by ears that did not label the data, by their names
    judged: dict[str, Labels] = Field(default_factory=dict)
    audio: str = ""  # path within the report's folder, where its sound was copied


class CeilingCounts(Record):
    """Recordings of the prompts that were scored as clips are, and how many through the codec."""

    recordings: int
    codec: int
    codec_name: str = ""


class Comparison(Record):
    """Cases that two systems have right or not, on the same prompts: clips, or pairs of the swap
    test; and McNemar's exact p, two-sided.
    """

    name: str
    meaning: str
    cases: int
    both: int
    first_alone: int  # the report's own system
    second_alone: int
    neither: int
    p: float


class EvaluationReport(Record):
    """All figures of one system.

    Those but the swap test's are of clips that are not a swap of another: each prompt counts once.
    """

    version: int = VERSION

    @field_validator("version")
    @classmethod
    def _is_this(cls, version: int) -> int:
        if version != VERSION:
            raise SchemaError(
                f"a report of version {version}, whose figures mean something else than those of "
                f"version {VERSION}: evaluate again"
            )
        return version

    system: str
    checkpoint: CheckpointFacts | None = None  # of a model of ours
    reference: str = ""
    reference_split: str = ""
    seed: int
    counts: Counts
    figures: tuple[Figure, ...]
    published: tuple[Figure, ...]
    timeline: tuple[Figure, ...] = ()  # against when it was asked
    space: SpaceFigures
    sound: SoundReport = SoundReport()
    swaps: SwapReport | None = None
    ceilings: CeilingCounts | None = None  # of what figures say of recordings and of the codec
    compared_with: str = ""  # the other system of `compared`
    compared: tuple[Comparison, ...] = ()
    memorized: MemorizationReport | None = None
    judges: tuple[JudgeReport, ...] = ()
    clips: tuple[ClipReport, ...]
    problems: tuple[UnscoredClip, ...]
    tools: dict[str, str]
