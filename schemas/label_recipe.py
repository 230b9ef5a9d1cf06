"""The recipe's section on pseudo-labels: which embedder reads the clips, which texts it may choose,
and how they are drawn.
"""

from enum import StrEnum

from pydantic import Field

from schemas.record import Confidence, Record


class Search(StrEnum):
    """How the nearest texts are found."""

    EXACT = "exact"
    APPROXIMATE = "approximate"  # faiss's inverted lists; the recall is measured and reported


class StatedFacts(StrEnum):
    """What becomes of texts that state a tempo, meter, key, chords or a time: an embedding cannot
    confirm them.
    """

    DROP = "drop"  # none of them is a label
    CHECK = "check"  # one is a label of a sample whose own labels confirm everything it states


class LabelRecipe(Record):
    """Pseudo-labels: texts of large vocabularies that lie nearest to the music in a joint space
    (Noise2Music, Huang et al., 2023).
    """

    vocabularies: tuple[str, ...] = Field(
        (),
        description=(
            "Files of texts to choose from (.parquet, .jsonl, .csv, .tsv, .txt); `obbligato "
            "captions vocabulary` makes them. None: nothing is labelled."
        ),
    )
    exclude: tuple[str, ...] = Field(
        (),
        description=(
            "Files of captions that no label may repeat or nearly repeat: "
            "those of an evaluation set, such as MusicCaps."
        ),
    )
    licence: str = Field("", description="Licence of texts whose file states none. Empty: unknown.")
    embedder: str = Field(
        "bridge",
        description=(
            "clap (weights by `label.model`), bridge (measured labels in words, compared by "
            "MiniLM: no weights, no download), or the name of a plug-in or module."
        ),
    )
    model: str = Field(
        "laion/larger_clap_music",
        description="A model's id (id@commit holds it to one) or folder; LAION's music checkpoint.",
    )
    python: str = Field(
        "",
        description=(
            "Interpreter of another environment, where "
            "a plug-in's packages break ours. Empty: this one."
        ),
    )
    device: str = Field(
        "cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Where embedder and search run: cpu or cuda.",
    )
    batch: int = Field(
        16,
        ge=1,
        le=1024,
        description=(
            "Windows of 10 s, or texts, that the model takes at once; a GPU takes 64 or more."
        ),
    )
    readers: int = Field(
        1,
        ge=1,
        le=64,
        description="Threads that decode and resample while the model works; a GPU wants more.",
    )
    nearest: int = Field(
        10,
        ge=1,
        le=100,
        description="Candidates of a clip in each vocabulary. Noise2Music: K = 10.",
    )
    long_labels: int = Field(
        3, ge=0, le=50, description="Sentences drawn from each vocabulary. Noise2Music: K' = 3."
    )
    short_labels: int = Field(
        6, ge=0, le=50, description="Tags drawn from each vocabulary. Noise2Music: K' = 6."
    )
    min_similarity: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="Texts less similar to the clip are not candidates. -1: no floor.",
    )
    max_similarity: float = Field(
        0.95,
        ge=0,
        le=1,
        description=(
            "Of two candidates of a clip at least this similar "
            "to each other, the farther is left out. 1: none."
        ),
    )
    facts: StatedFacts = Field(
        StatedFacts.DROP,
        description="Texts that state tempo, meter, key, chords or times: drop, or check.",
    )
    max_tokens: int = Field(
        64,
        ge=8,
        description=(
            "Tags and metadata are joined in chunks of at most this "
            "many tokens (MiniLM's word pieces). Noise2Music: 64."
        ),
    )
    title: bool = Field(
        False, description="Put the track's title and artist among the tags. Noise2Music does."
    )
    search: Search = Field(
        Search.EXACT,
        description="exact, or approximate: faiss's inverted lists, for many millions of texts.",
    )
    probes: int = Field(
        32,
        ge=1,
        description="Lists that an approximate search looks through: more, and it misses less.",
    )


class NearRecipe(Record):
    """Copies of the same recording under other files, found by embedding and proved by
    fingerprint.
    """

    find: bool = Field(False, description="Look for them; always done where clips are labelled.")
    min_similarity: Confidence = Field(
        0.97, description="Clips whose embeddings are less similar are not compared."
    )
    min_agreement: Confidence = Field(
        0.7,
        description=(
            "Share of fingerprint bits that agree from which two clips are one recording. "
            "Haitsma and Kalker (2002): 0.65. Copies as MP3 of 48 kbit/s "
            "agree in 0.82 and more, other music in 0.58 at the most."
        ),
    )
    recall: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="Chance that a pair at `min_similarity` meets in one hash table at least.",
    )
