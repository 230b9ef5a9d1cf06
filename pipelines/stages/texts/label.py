"""Stage *label*: each sample's pseudo-labels: texts sampled from its candidates, tags and
metadata joined.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, FREQUENCIES, LABELS, MATCHES, MOVED_LABELS, VARIANTS
from pipelines.captioning.confirmed import unconfirmed
from pipelines.captioning.metadata import read_metadata, together
from pipelines.captioning.paraphrase import captioned
from pipelines.captioning.splitting import clean_text, equal_chunks
from pipelines.embedders import Description, minilm
from pipelines.embedders.recipe_embedder import description, embedder_tools
from pipelines.engine import bucket
from pipelines.engine.stage import Stage
from pipelines.samples.moved_labels import LabelledSample, labelled_samples, reads_mixes
from pipelines.search.draw import sampled
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Source
from schemas.counts import PseudoLabelCounts
from schemas.fact import FactKind
from schemas.identity import keyed_rng
from schemas.pseudo_label import CandidateText, Labelled, PseudoLabel
from schemas.recipe import Recipe
from schemas.vocabulary import Form


class CandidatePool(NamedTuple):
    """What a bucket's samples choose from: candidates by clip, and how many clips have each."""

    candidates: Mapping[str, tuple[CandidateText, ...]]
    clips: Mapping[int, int]
    embedder: Description


class Denied(NamedTuple):
    """How many candidates, and how many captions of tags, state a fact that no label confirms, by
    its kind.
    """

    candidates: Counter[FactKind]
    tags: Counter[FactKind]


def label_bucket(job: Job) -> Done:
    """Draw the pseudo-labels of a bucket's samples and make captions of them."""
    candidates = {row.clip_key: row.candidates for row in MATCHES.read(job)}
    clips = {row.entry: row.clips for row in FREQUENCIES.read(job)}
    pool = CandidatePool(candidates, clips, description(job.recipe))
    denied = Denied(Counter(), Counter())
    rows = [label_sample(sample, pool, job.recipe, denied) for sample in labelled_samples(job)]
    bucket.progress(len(CLIPS.read(job)))
    forms = Counter(label.form for row in rows for label in row.pseudo_labels)
    counts = PseudoLabelCounts(
        samples=len(rows),
        labelled=sum(bool(row.pseudo_labels) for row in rows),
        long_labels=forms[Form.LONG],
        short_labels=forms[Form.SHORT],
        unconfirmed=dict(denied.candidates),
        tags_refused=dict(denied.tags),
    )
    return Done([LABELS.write(job, rows)], counts.plain())


def label_sample(
    sample: LabelledSample, pool: CandidatePool, recipe: Recipe, denied: Denied
) -> Labelled:
    """A sample's labels: from each vocabulary as many as the recipe says, by its own generator."""
    key = sample.varied.sample_key
    by_vocabulary: dict[tuple[str, Form], list[CandidateText]] = defaultdict(list)
    for candidate in _candidates(sample, pool):
        if kind := unconfirmed(candidate.text, sample.labels, sample.varied.change, recipe.caption):
            denied.candidates[kind] += 1
        else:
            by_vocabulary[candidate.vocabulary, candidate.form].append(candidate)
    chosen: list[CandidateText] = []
    for (vocabulary, form), candidates in by_vocabulary.items():
        number = recipe.label.long_labels if form is Form.LONG else recipe.label.short_labels
        chosen += sampled(
            candidates,
            pool.clips,
            number,
            keyed_rng(recipe.corpus.seed, key, f"label {vocabulary} {form}"),
        )
    captions = (*_sentences(chosen), *_tags(sample, chosen, recipe, denied.tags))
    return Labelled(
        sample_key=key,
        pseudo_labels=tuple(_label(candidate, pool) for candidate in chosen),
        captions=captions,
    )


def _candidates(sample: LabelledSample, pool: CandidatePool) -> Iterator[CandidateText]:
    """Texts that lie near to a sample's clip, and in a mix near to both of its clips."""
    found = pool.candidates.get(sample.clip.clip_key, ())
    if sample.guest is None:
        return iter(found)
    near = pool.candidates.get(sample.guest.clip.clip_key, ())
    entries = {candidate.entry for candidate in near}
    return (candidate for candidate in found if candidate.entry in entries)


def _label(candidate: CandidateText, pool: CandidatePool) -> PseudoLabel:
    embedder = pool.embedder
    return PseudoLabel(
        text=candidate.text,
        form=candidate.form,
        vocabulary=candidate.vocabulary,
        source=candidate.source,
        licence=candidate.licence,
        rank=candidate.rank,
        similarity=candidate.similarity,
        frequency=pool.clips[candidate.entry],
        model=f"{embedder.name} {embedder.version}",
        model_licence=embedder.licence,
    )


def _sentences(chosen: Sequence[CandidateText]) -> Iterator[Caption]:
    """Each sentence is a caption of its own."""
    return (
        captioned(candidate.text, CaptionKind.LABEL)
        for candidate in chosen
        if candidate.form is Form.LONG
    )


def _tags(
    sample: LabelledSample,
    chosen: Sequence[CandidateText],
    recipe: Recipe,
    denied: Counter[FactKind],
) -> list[Caption]:
    """Tags and metadata in an order of their own, joined to captions of equal length.

    What reads like an unconfirmed claim is left out.
    """
    sources = [sample.clip.source]
    metadata = read_metadata(sample.clip.source, recipe.caption)
    if sample.guest is not None:
        sources.append(sample.guest.clip.source)
        metadata = together(metadata, read_metadata(sources[-1], recipe.caption))
    terms = [candidate.text for candidate in chosen if candidate.form is Form.SHORT]
    terms += [
        *metadata.genres,
        *metadata.moods,
        *metadata.instruments,
        *(name for source in sources if recipe.label.title for name in _names(source)),
    ]
    unique = list(dict.fromkeys(terms))
    order = keyed_rng(recipe.corpus.seed, sample.varied.sample_key, "tags").permutation(len(unique))
    captions: list[Caption] = []
    for text in equal_chunks(
        [unique[index] for index in order], recipe.label.max_tokens, minilm.tokens
    ):
        if kind := unconfirmed(text, sample.labels, sample.varied.change, recipe.caption):
            denied[kind] += 1
        else:
            captions.append(captioned(text, CaptionKind.TAGS))
    return captions


def _names(source: Source) -> list[str]:
    return [name for name in (clean_text(source.title), clean_text(source.artist)) if name]


def tools(recipe: Recipe) -> dict[str, str]:
    """The embedder that chose, and MiniLM, which counts tokens."""
    return {**embedder_tools(recipe), minilm.NAME: minilm.checksum()}


STAGE: Final = Stage(
    name="label",
    version=2,
    reads=(CLIPS, MOVED_LABELS, VARIANTS, MATCHES, FREQUENCIES),
    optional_reads=reads_mixes,
    writes=(LABELS,),
    knobs=(
        "label.long_labels",
        "label.short_labels",
        "label.max_tokens",
        "label.title",
        "caption.metadata_columns",
        "caption.min_tempo_confidence",
        "caption.min_meter_confidence",
        "caption.min_chords_confidence",
        "caption.min_key_confidence",
    ),
    run=label_bucket,
    tools=tools,
    enabled=lambda recipe: recipe.labels,
)
