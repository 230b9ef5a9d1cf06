"""The recipe: every knob of a build, typed, with a default and its source.

Unknown keys are refused.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import Field, field_validator, model_validator

from schemas.errors import SchemaError
from schemas.label_recipe import LabelRecipe, NearRecipe, Search
from schemas.record import Confidence, Record

Share = Confidence
RENAMED_SECTIONS: Final = {"near": "near_duplicates"}
CALIBRATION_NAME: Final = "[a-z0-9][a-z0-9-]{0,39}"


class WindowMeaning(StrEnum):
    """What a manifest's start_s and end_s mean."""

    CROP = "crop"
    ALREADY_CUT = "already_cut"


class Clips(StrEnum):
    """Which windows of a song become clips."""

    ALL = "all"
    FIRST = "first"
    SPACED = "spaced"


class Group(StrEnum):
    """What never parts between splits."""

    SONG = "song"
    ALBUM = "album"
    ARTIST = "artist"


class RubberBandEngine(StrEnum):
    """How Rubber Band is reached."""

    PEDALBOARD = "pedalboard"
    PYRUBBERBAND = "pyrubberband"


class Paraphraser(StrEnum):
    """Who rewords captions."""

    RULES = "rules"
    OPENAI = "openai"


class FilterAction(StrEnum):
    """What a filter rule does to a clip that breaks it."""

    KEEP_ORIGINAL = "keep_original"  # the original is written, its variants are rejected
    REJECT = "reject"
    OFF = "off"


def _ascending(low_name: str, low: float, high_name: str, high: float) -> None:
    if low > high:
        raise SchemaError(f"{low_name} {low:g} exceeds {high_name} {high:g}")


class CorpusRecipe(Record):
    """What holds for the whole corpus."""

    name: str = Field("corpus", description="Name on the dataset card.")
    seed: int = Field(
        0, ge=0, description="Every draw is keyed by this seed, the sample's key and the purpose."
    )


class IngestRecipe(Record):
    """Which audio becomes clips, and where they go."""

    clips: Clips = Field(
        Clips.ALL,
        description=(
            "Windows of a song that become clips: "
            "all, first, or spaced (`spaced_clips` of them, evenly)."
        ),
    )
    clip_s: float = Field(
        10.0, gt=0.5, le=600, description="Clip length. MusicCaps and MusicBench: 10 s."
    )
    spaced_clips: int = Field(
        6, ge=1, description="Clips of a song where clips = spaced. Noise2Music: 6 (of 30 s)."
    )
    keep_last: bool = Field(
        False,
        description=(
            "Keep a last window shorter than clip_s. "
            "A song shorter than one window is always one clip."
        ),
    )
    min_clip_s: float = Field(
        0.5,
        gt=0,
        description="Shorter audio is dead: under two beats at 240 BPM there is nothing to label.",
    )
    window: WindowMeaning = Field(
        WindowMeaning.CROP,
        description=(
            "A manifest's start_s and end_s: cut there (crop), "
            "or the file is that window already (already_cut)."
        ),
    )
    extend: float = Field(
        1.25,
        ge=1,
        le=2,
        description=(
            "Annotation covers this many clip lengths where the file allows: the largest "
            "speed-up, which then keeps full length."
        ),
    )
    licence: str = Field("", description="Licence of all inputs that state none. Empty: unknown.")
    uri_template: str = Field(
        "",
        description="Makes a URI of a manifest's id: '/data/{ytid}.wav', or any column in braces.",
    )
    column_map: dict[str, str] = Field(
        default_factory=dict, description="Our column = theirs, as --map writes it: uri = 'ytid'."
    )
    protocols: tuple[str, ...] = Field(
        ("s3", "gs", "memory"),
        description=(
            "Remote protocols that a manifest's rows may name; "
            "a table from outside must not make us call anywhere."
        ),
    )
    private_addresses: bool = Field(
        False,
        description=(
            "Whether http addresses may lead to this machine or its own network (loopback, "
            "link-local, private, multicast): checked at each connection, redirects included. "
            "A table from outside must not look around where its author cannot."
        ),
    )
    follow_links: bool = Field(
        False,
        description=(
            "Use links to files in a folder that lead out of it. Off: "
            "such a link is dead, as a stranger's may lead anywhere."
        ),
    )
    paths_below: str = Field(
        "",
        description=(
            "Where given, local paths in tables must lead below this folder, links followed. "
            "Empty: absolute paths, file:// and .. in a table reach every audio file that the user "
            "can read; set it for tables of strangers."
        ),
    )
    base: str = Field(
        "",
        description=(
            "A folder or URL that is cut off where a source is named in samples, "
            "clips, listing and ledger, so that these do not tell whose machine it was. "
            "The build's own recipe.toml and sources.json name it still. "
            "The query of an http address never leaves: `#q=` and a hash stand "
            "in its place, and the whole address in the build's folder private/."
        ),
    )
    check_remote: bool = Field(
        True,
        description=(
            "Look up size and version of each remote file that a manifest names, "
            "a folder at a time, so that a changed file is noticed. Off: "
            "a manifest of files that never change is listed without a request."
        ),
    )
    group: Group = Field(
        Group.SONG, description="What never parts between splits: song, album or artist."
    )
    validation: Share = Field(
        0.1, description="Share of groups in validation. MusicBench holds out 5 to 10 %."
    )
    test: Share = Field(0.1, description="Share of groups in test.")
    bucket_clips: int = Field(
        32,
        ge=1,
        description=(
            "Clips per bucket aimed at: with 12 samples of 10 s at 16 kHz a shard of about 70 MB."
        ),
    )
    small_buckets: int = Field(
        8,
        ge=1,
        description=(
            "A small corpus fills at least this many buckets "
            "(at most one a song), so that workers can share it."
        ),
    )
    max_buckets: int = Field(
        16_384,
        ge=1,
        le=100_000,  # a bucket's number has five digits
        description=(
            "One ingest makes about this many buckets at most; beyond, they grow: 10 million "
            "clips make shards of about 1.3 GB."
        ),
    )
    max_file_mb: float = Field(2048, gt=0, description="Larger files are dead by `stat`, unread.")
    max_duration_s: float = Field(
        7200, gt=0, description="Longer songs are dead: two hours hold any album side."
    )
    min_rate_hz: int = Field(
        4000, ge=1, description="Lower sample rates are dead: telephone speech has 8 kHz."
    )
    max_rate_hz: int = Field(
        384_000, description="Higher sample rates are dead: studio converters end there."
    )
    max_channels: int = Field(32, ge=1, description="More channels are dead.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation + self.test > 1:
            raise SchemaError(
                f"ingest.validation {self.validation} and ingest.test {self.test} together exceed 1"
            )
        _ascending("ingest.min_rate_hz", self.min_rate_hz, "ingest.max_rate_hz", self.max_rate_hz)
        return self


class LimitsRecipe(Record):
    """Limits that kill a worker's child.

    Not part of any marker: they change no output of a good clip.
    """

    cpu_s: float = Field(
        60,
        gt=0,
        description="CPU seconds for one clip in one stage; the slowest honest clip takes about 5.",
    )
    memory_mb: float = Field(3072, gt=0, description="Private memory of a worker's child.")
    wall_s: float = Field(
        300, gt=0, description="Wall-clock seconds for one clip: on a hit it is run again alone."
    )


class AnnotateRecipe(Record):
    """Which annotators label the clips, and below which confidence a label stays empty."""

    beats: str = Field(
        "obbligato",
        description=(
            "Annotator of beats, downbeats, meter and tempo: obbligato (on madmom's networks), "
            "or the name of a plug-in or module."
        ),
    )
    chords: str = Field(
        "obbligato",
        description="Annotator of chords: obbligato, or the name of a plug-in or module.",
    )
    key: str = Field(
        "obbligato",
        description=(
            "Annotator of the key: obbligato (with Essentia's profile), or the name of a plug-in "
            "or module."
        ),
    )
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="Where the networks run: cpu or cuda."
    )
    batch: int = Field(
        8,
        ge=1,
        le=256,
        description=(
            "Clips per call: on a CPU the cost per clip "
            "is flat from here on; a GPU takes 64 or more."
        ),
    )
    meters: tuple[int, ...] = Field(
        (3, 4),
        min_length=1,
        description=(
            "Beats per bar that are looked for: 3 and 4; "
            "2 as well where marches and polkas are expected."
        ),
    )
    min_bpm: float = Field(55, gt=0, description="Slowest tempo looked for. madmom: 55.")
    max_bpm: float = Field(215, gt=0, description="Fastest tempo looked for. madmom: 215.")
    min_beats_confidence: Confidence = Field(
        0.15,
        description=(
            "Below this, beats, meter and tempo stay empty. "
            "Noise and speech: 39 of 40 clips are under it."
        ),
    )
    min_chords_confidence: Confidence = Field(
        0.3,
        description=(
            "Below this, chords and key stay empty. Noise: "
            "under 0.02; speech: 22 of 24 clips are under it."
        ),
    )
    min_key_confidence: Confidence = Field(
        0.2, description="Below this, the key stays empty: a guess among 24 is right in 0.04."
    )
    silence_db: float = Field(
        -60, le=0, description="Audio below this level is silence, and all its labels stay empty."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ascending("annotate.min_bpm", self.min_bpm, "annotate.max_bpm", self.max_bpm)
        return self


class ReviewRecipe(Record):
    """What people who listened made of the labels, beside their corrections."""

    calibration: str = Field(
        "",
        pattern=rf"^({CALIBRATION_NAME})?$",
        description=(
            "Name of a calibration that `obbligato review --refit` fitted: what people set right "
            "says how far confidences can be trusted. Empty: those of the annotators."
        ),
    )


class FilterRecipe(Record):
    """Rules that keep a clip from augmentation or from the corpus."""

    words: tuple[str, ...] = Field(
        ("quality", "low fidelity"),
        description="Words in a source caption that break the rule. MusicBench: these two.",
    )
    words_action: FilterAction = Field(
        FilterAction.KEEP_ORIGINAL,
        description="MusicBench keeps such clips and does not augment them.",
    )
    silent_share: Share = Field(
        0.9, description="Share of silent frames above which a clip is silence."
    )
    silent_action: FilterAction = Field(FilterAction.REJECT, description="On silence.")
    clipped_share: Share = Field(
        0.02, description="Share of clipped samples above which a clip is distorted."
    )
    clipped_action: FilterAction = Field(FilterAction.KEEP_ORIGINAL, description="On clipping.")
    short_s: float = Field(
        3.0, ge=0, description="Clips under this length break the rule: three beats at 60 BPM."
    )
    short_action: FilterAction = Field(FilterAction.KEEP_ORIGINAL, description="On short clips.")
    min_confidence: Confidence = Field(
        0.0, description="A clip whose beats, chords and key are all below this breaks the rule."
    )
    confidence_action: FilterAction = Field(
        FilterAction.KEEP_ORIGINAL, description="On low confidence."
    )
    near_duplicate_action: FilterAction = Field(
        FilterAction.REJECT,
        description=(
            "On a clip of train that is a copy of one in validation or test "
            "(`near_duplicates.find`)."
        ),
    )


class VaryRecipe(Record):
    """Copies of each kept clip: pitch, speed, volume. MusicBench makes these eleven."""

    semitones: tuple[int, ...] = Field(
        (-3, -2, -1, 1, 2, 3), description="Pitch shifts. MusicBench: ±1 to ±3."
    )
    speeds: int = Field(
        4, ge=0, description="Speed changes: the first half slower, the rest faster. MusicBench: 4."
    )
    speed_min: float = Field(
        0.05, gt=0, lt=1, description="Least change of speed. MusicBench: 5 %."
    )
    speed_max: float = Field(
        0.25, gt=0, lt=1, description="Largest change of speed. MusicBench: 25 %."
    )
    volumes: int = Field(1, ge=0, description="Crescendos or decrescendos. MusicBench: 1.")
    volume_min: float = Field(
        0.1,
        gt=0,
        le=1,
        description=(
            "Least low end of a volume change, as a share of the amplitude. MusicBench: 0.1."
        ),
    )
    volume_max: float = Field(0.5, gt=0, le=1, description="Largest low end. MusicBench: 0.5.")
    all_splits: bool = Field(False, description="Vary validation and test too.")
    engine: RubberBandEngine = Field(
        RubberBandEngine.PEDALBOARD,
        description=(
            "pedalboard (in process) or pyrubberband (one process a change); "
            "both are Rubber Band R2, equal within 3e-5."
        ),
    )
    rate_hz: int = Field(
        16_000, ge=4000, le=192_000, description="Sample rate of the shards. MusicBench: 16 kHz."
    )
    channels: int = Field(1, ge=1, le=2, description="1, or 2 for stereo where the source has it.")
    copies_hz: tuple[int, ...] = Field(
        (),
        description=(
            "Lower rates that each sample's audio is written at as well, as <key>.16k.flac. "
            "Noise2Music: 16 kHz beside 24 kHz."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ascending("vary.speed_min", self.speed_min, "vary.speed_max", self.speed_max)
        _ascending("vary.volume_min", self.volume_min, "vary.volume_max", self.volume_max)
        if any(not 4000 <= hz < self.rate_hz for hz in self.copies_hz) or len(
            set(self.copies_hz)
        ) != len(self.copies_hz):
            raise SchemaError(
                "vary.copies_hz must be different rates from 4000 to below vary.rate_hz "
                f"{self.rate_hz}, not {self.copies_hz}"
            )
        if len(set(self.semitones)) != len(self.semitones) or 0 in self.semitones:
            raise SchemaError(
                f"vary.semitones must be different and none of them 0, not {self.semitones}"
            )
        return self


class MixRecipe(Record):
    """Mixes of two clips in time and in key: a host, and a guest of its bucket that is made to
    fit.
    """

    mixes: int = Field(
        0,
        ge=0,
        le=8,
        description=(
            "Mixes of each varied clip, each with another guest of its own bucket. "
            "0: none. MusicLDM mixes two clips at their beats."
        ),
    )
    speed_max: float = Field(
        0.15,
        gt=0,
        lt=0.5,
        description="Largest change of the guest's speed. Meta's automix: under 15 %.",
    )
    semitones_max: int = Field(
        3,
        ge=0,
        le=6,
        description=(
            "Semitones that the guest may be shifted by to the host's key or its relative. "
            "Meta's automix: 3."
        ),
    )
    share_beta: float = Field(
        5.0,
        gt=0,
        description="The guest's share of the amplitude is drawn from Beta(a, a). MusicLDM: 5.",
    )
    min_beats_confidence: Confidence = Field(
        0.9, description="No mix of a clip whose beats are less sure than this, host or guest."
    )
    min_downbeats_confidence: Confidence = Field(0.8, description="Nor its downbeats.")
    min_meter_confidence: Confidence = Field(0.8, description="Nor its meter.")
    min_key_confidence: Confidence = Field(0.7, description="Nor its key.")


class EncodeRecipe(Record):
    """Latents: each sample's audio as a latent-diffusion model learns it, in the shards as
    <key>.latent.npy.
    """

    codec: str = Field(
        "",
        description=(
            "mel (no weights), audioldm (Liu et al., 2023), encodec (Défossez et al., 2022), dac "
            "(Kumar et al., 2023), vae or wave (of your own), or the name of a plug-in or module. "
            "Empty: nothing is encoded."
        ),
    )
    source: str = Field(
        "",
        description=(
            "The codec's weights: an id on the Hugging Face hub "
            "(id@commit holds it to one), or a folder. Empty: its default."
        ),
    )
    codes: bool = Field(
        False,
        description=(
            "Beside the latents the codes that they are rounded to, as <key>.codes.npy: of wave "
            "with codebooks, encodec, dac."
        ),
    )
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="Where the codec runs: cpu or cuda."
    )
    batch: int = Field(
        4,
        ge=1,
        le=1024,
        description=(
            "Samples of one length that the codec takes at once: "
            "a CPU gains nothing by more; a GPU takes 32 or more."
        ),
    )
    readers: int = Field(
        1,
        ge=1,
        le=64,
        description="Threads that decode and resample while the codec works; a GPU wants more.",
    )


class CaptionRecipe(Record):
    """Control sentences about the labels, and their paraphrases."""

    sentences: tuple[Share, ...] = Field(
        (0.25, 0.30, 0.20, 0.15, 0.10),
        description="Chances of 0, 1, 2, … control sentences. Mustango: 25/30/20/15/10 %.",
    )
    bpm_share: Share = Field(
        0.5,
        description="Chance that a tempo sentence gives the number; else an Italian word, or both.",
    )
    paraphrases: int = Field(1, ge=0, le=8, description="Paraphrases of each control caption.")
    paraphraser: Paraphraser = Field(
        Paraphraser.RULES,
        description=(
            "Who paraphrases: rules (offline, free), or openai: "
            "any server that speaks its protocol."
        ),
    )
    min_similarity: float = Field(
        0.5,
        ge=-1,
        le=1,
        description=(
            "MiniLM similarity to its source below which a model's "
            "paraphrase is dropped: its meaning went astray."
        ),
    )
    max_similarity: float = Field(
        0.98,
        ge=0,
        le=1,
        description=(
            "Of two paraphrases by a model with the same facts and at least this MiniLM "
            "similarity, in a split, one stays."
        ),
    )
    chord_times_share: Share = Field(
        0.25, description="Chance that a chord sentence says when each chord begins."
    )
    metadata_columns: dict[str, str] = Field(
        {"instruments": "instruments", "moods": "moods", "genre": "genres"},
        description=(
            "What prompts from metadata are made of: our name = the source's column (a list, or "
            "names with commas between). Stable Audio: instruments, moods, genres."
        ),
    )
    metadata_prompts: int = Field(
        1, ge=0, le=4, description="Prompts from metadata per sample, where the source has any."
    )
    metadata_share: Share = Field(
        0.5,
        description=(
            "Chance that a control caption names the instruments, and the moods, of the metadata."
        ),
    )
    min_tempo_confidence: Confidence = Field(
        0.8,
        description=(
            "No sentence states a tempo below this confidence: "
            "of those above, 95 to 98 % are right."
        ),
    )
    min_meter_confidence: Confidence = Field(0.8, description="Nor a meter below this.")
    min_chords_confidence: Confidence = Field(0.7, description="Nor chords below this.")
    min_key_confidence: Confidence = Field(0.7, description="Nor a key below this.")
    max_chords: int = Field(
        16, ge=1, description="Longer chord sequences are not put in a sentence."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.sentences) > 5 or abs(sum(self.sentences) - 1) > 1e-6:
            raise SchemaError(
                "caption.sentences must be at most five "
                f"chances that add up to 1, not {self.sentences}"
            )
        return self


class Price(Record):
    """What a model costs: US dollars per million tokens."""

    prompt: float = Field(ge=0)
    answer: float = Field(ge=0)


class LlmRecipe(Record):
    """The language model behind paraphraser = openai, and what it may cost.

    Its key comes from OPENAI_API_KEY alone.
    """

    model: str = Field("gpt-4o-mini", description="The model's name, as its server knows it.")
    base_url: str = Field(
        "",
        description=(
            "Another server of the same protocol (vLLM, llama.cpp, Ollama): "
            "http://127.0.0.1:8000/v1. One with a key or a password "
            "in its address goes into OPENAI_BASE_URL."
        ),
    )
    temperature: float = Field(
        1.0, ge=0, le=2, description="Sampling temperature. OpenAI's default: 1."
    )
    structured_outputs: bool = Field(
        True,
        description=(
            "Ask for JSON by schema; off for servers that know none: they are asked in words."
        ),
    )
    batch: bool = Field(
        False, description="OpenAI's Batch API: half the price, answers within a day."
    )
    budget_usd: float = Field(
        0.0,
        ge=0,
        description=(
            "A hard stop: no call is made whose worst case would exceed it. "
            "`obbligato captions quote` says what to expect."
        ),
    )
    prices: dict[str, Price] = Field(
        {
            "gpt-4o-mini": Price(prompt=0.15, answer=0.60),
            "gpt-4.1-nano": Price(prompt=0.10, answer=0.40),
            "gpt-4.1-mini": Price(prompt=0.40, answer=1.60),
            "gpt-4.1": Price(prompt=2.00, answer=8.00),
        },
        description=(
            "US dollars per million tokens, prompt and answer, "
            "as OpenAI listed them in 2025. Check yours; your own server: 0."
        ),
    )
    concurrency: int = Field(8, ge=1, le=1024, description="Calls under way at once.")
    requests_per_minute: int = Field(0, ge=0, description="The server's limit; 0: none.")
    tokens_per_minute: int = Field(
        0, ge=0, description="The server's limit, prompts and answers together; 0: none."
    )
    timeout_s: float = Field(60, gt=0, description="A call that takes longer is tried again.")
    attempts: int = Field(
        6,
        ge=1,
        le=20,
        description="Tries of one call before it is dead, with growing pauses between.",
    )
    batch_wait_s: float = Field(
        90_000,
        ge=0,
        description=(
            "How long a run waits for its batches (a day and an hour); "
            "after that, or when killed, the next run goes on."
        ),
    )
    batch_poll_s: float = Field(60, gt=0, description="Seconds between two looks at a batch.")

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        """An address is stored with the build for everybody to read: a password or a key in it is
        refused.
        """
        for sign, what in (
            ("@", "a password"),
            ("?", "a query, such as a key"),
            ("#", "a fragment"),
        ):
            if sign in url:
                raise ValueError(
                    f"it holds {what}, which would be stored with the build; "
                    "set such an address in OPENAI_BASE_URL instead"
                )
        return url


class PackRecipe(Record):
    """The shards."""

    keep_variants: bool = Field(
        True, description="Keep variants/ once packed; pack can take the bytes back from the shard."
    )
    anchor_column: str = Field(
        "",
        description=(
            "A manifest's column that marks what is curated (true, yes or 1): its samples are the "
            "quality anchor that training can weigh more. Noise2Music has such a subset."
        ),
    )
    embeddings: bool = Field(
        False, description="Put each clip's embedding into its samples, as <key>.clap.npy."
    )


class VerifyRecipe(Record):
    """How closely the output is looked at."""

    relabel_clips: int = Field(
        8,
        ge=0,
        description=(
            "Clips whose variants are annotated again and compared with their moved labels."
        ),
    )


class Recipe(Record):
    """One build, whole."""

    corpus: CorpusRecipe = CorpusRecipe()
    ingest: IngestRecipe = IngestRecipe()
    limits: LimitsRecipe = LimitsRecipe()
    annotate: AnnotateRecipe = AnnotateRecipe()
    review: ReviewRecipe = ReviewRecipe()
    near_duplicates: NearRecipe = NearRecipe()
    filter: FilterRecipe = FilterRecipe()
    vary: VaryRecipe = VaryRecipe()
    mix: MixRecipe = MixRecipe()
    encode: EncodeRecipe = EncodeRecipe()
    caption: CaptionRecipe = CaptionRecipe()
    llm: LlmRecipe = LlmRecipe()
    label: LabelRecipe = LabelRecipe()
    pack: PackRecipe = PackRecipe()
    verify: VerifyRecipe = VerifyRecipe()

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        """Refuse a section by the name that an earlier version had for it, and say the new one."""
        for old, new in RENAMED_SECTIONS.items():
            if isinstance(values, Mapping) and old in values:
                raise ValueError(
                    f"section {old} is called {new} now: write [{new}], and {new}.KEY where a "
                    "knob of it is set"
                )
        return values

    @property
    def labels(self) -> bool:
        """Whether clips get pseudo-labels."""
        return bool(self.label.vocabularies)

    @property
    def indexes(self) -> bool:
        """Whether vocabularies are searched through an index."""
        return self.labels and self.label.search is Search.APPROXIMATE

    @property
    def finds_copies(self) -> bool:
        """Whether copies of a recording are looked for."""
        return self.near_duplicates.find or self.labels

    @property
    def embeds(self) -> bool:
        """Whether clips are embedded."""
        return self.finds_copies or self.pack.embeddings

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed."""
        return self.mix.mixes > 0

    @property
    def encodes(self) -> bool:
        """Whether samples get latents."""
        return bool(self.encode.codec)

    @property
    def has_codes(self) -> bool:
        """Whether samples get codes beside their latents."""
        return self.encodes and self.encode.codes
