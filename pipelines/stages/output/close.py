"""The end of a build: both identities checked, no group in two splits, then dataset.json and the
dataset card.
"""

import importlib.metadata
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from pydantic import ValidationError

from pipelines.audio import rubberband
from pipelines.build.corrections import corrected_songs, read_corrections
from pipelines.build.markers import read_checked, read_marker
from pipelines.build.plans import check_inputs, read_plan
from pipelines.build.tables import ANNOTATIONS, CARD, CLIPS, DATASET, SHARDS, VERIFIED, VERSIONS
from pipelines.build.versions import publish_version
from pipelines.codecs.recipe_codec import codec_facts, recipe_code_facts
from pipelines.embedders import minilm
from pipelines.embedders.recipe_embedder import description
from pipelines.engine.stage import BegunBuild, CorpusStep, Stage
from pipelines.errors import Damaged, PipelineError
from pipelines.labels.agreement import mean_agreement
from pipelines.labels.corrected import folded
from pipelines.stages.output.pseudo_labels_card import account, account_lines
from pipelines.storage.arrow import first_row, side_by_side
from pipelines.storage.duckdb_scratch import scratch
from pipelines.storage.store import Store
from schemas.agreement import KindAgreement, LabelAgreement, Relabelled
from schemas.codec import CodecFacts, CodeFacts, WaveLevel
from schemas.counts import CaptionCounts, Counts, DistinctCounts, ParaphraseCounts, added, by_name
from schemas.dataset import Dataset, DatasetShard, LicenceTotals, SampleTotals, SplitTotals
from schemas.identity import Bucket, VariantKind, variant_kind
from schemas.labels import Annotation
from schemas.recipe import Paraphraser, Recipe
from schemas.sample import SCHEMA_VERSION
from schemas.shard import ShardIndex

# by this machine and this version: no claims about what was built
_MEASURED_ANEW: Final = {"agreement", "obbligato"}
_UNKNOWN: Final = "unknown"
_OTHERS: Final = "others"  # licences beyond the most frequent ones, under one name
_MOST_LICENCES: Final = 1000  # in dataset.json: it stays small, whatever tables say
_MOST_SHOWN: Final = 50  # on the card
_LONGEST: Final = 80  # characters of a foreign text on the card
_LONGEST_KEPT: Final = 200  # and of a licence in dataset.json; whole, it stands in every sample
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>|~&$#!])")


def close_dataset(store: Store, recipe: Recipe, stages: Sequence[Stage]) -> Dataset:
    """Check the build as a whole and publish what it holds.

    Raises `PipelineError` where an identity does not hold.
    """
    dataset = described(store, recipe, stages)
    publish_dataset(store, dataset)
    return dataset


def publish_dataset(store: Store, dataset: Dataset) -> None:
    """Write dataset.json and the dataset card."""
    store.write_json(DATASET, dataset.as_json())
    store.write_bytes(CARD, card(dataset).encode())


def stated_dataset(store: Store) -> Dataset:
    """What a build's dataset.json states. Raises `Damaged` where it is not one."""
    try:
        return Dataset.model_validate(store.read_json(DATASET))
    except ValidationError as error:
        raise Damaged(
            f"{store.url}/{DATASET} is not what was written; build again, and it is written anew"
        ) from error


def check_stated(store: Store, found: Dataset) -> None:
    """Raise `PipelineError` where dataset.json states otherwise than what was found.

    What is measured anew each time may differ.
    """
    stated = store.read_json(DATASET) if store.exists(DATASET) else {}
    claims = stated if isinstance(stated, dict) else {}
    known = found.as_json()
    other = sorted(
        name for name in {*known, *claims} - _MEASURED_ANEW if known.get(name) != claims.get(name)
    )
    if other:
        raise PipelineError(
            f"{store.url}/{DATASET} states another {', '.join(f'`{name}`' for name in other)} "
            "than is found in the build, and was left as "
            "it is; run obbligato build again, which writes it anew"
        )


def described(store: Store, recipe: Recipe, stages: Sequence[Stage]) -> Dataset:
    """What a build holds, by its plan, its markers and its tables.

    Raises `PipelineError` where an identity does not hold.
    """
    plan = read_plan(store)
    counts = {stage.name: _counts(store, stage.folder, plan.buckets) for stage in stages}
    packed = next(stage.name for stage in stages if SHARDS in stage.writes)
    samples = _sample_totals(counts[packed])
    check_inputs(plan.inputs)
    check_samples(samples)
    if not samples.written:
        raise PipelineError(
            f"no sample was written; `obbligato dead ls {store.url} --rejected` says why for each"
        )
    sources = _sources(store, plan.buckets)
    shards = [
        shard for shard in side_by_side(partial(_shard, store), plan.buckets) if shard is not None
    ]
    in_shards = sum(shard.count for shard in shards)
    if in_shards != samples.written:
        raise PipelineError(
            f"{samples.written} samples written, but the shards hold {in_shards}; build again"
        )
    return Dataset(
        name=recipe.corpus.name,
        obbligato=importlib.metadata.version("obbligato"),
        schema_version=SCHEMA_VERSION,
        inputs=plan.inputs,
        samples=samples,
        splits=_splits(shards),
        stages=counts,
        groups={**sources.groups, "disagreeing": plan.disagreeing_groups},
        licences=LicenceTotals(
            distinct=sources.distinct,
            sources=sources.licences,
            tools=_tool_licences(store, plan.buckets, recipe),
        ),
        tools={name: version for stage in stages for name, version in stage.tools(recipe).items()},
        pseudo_labels=account(store, recipe),
        latents=codec_facts(recipe) if recipe.encodes else None,
        codes=recipe_code_facts(recipe) if recipe.has_codes else None,
        agreement=agreement_by_kind(store, plan.buckets),
        shards=tuple(shards),
    )


def _sample_totals(counts: Mapping[str, int]) -> SampleTotals:
    """The totals among what pack counted."""
    return SampleTotals(**{name: counts.get(name, 0) for name in SampleTotals.model_fields})


def check_samples(totals: SampleTotals) -> None:
    """Raise unless planned = written + rejected + dead."""
    if totals.planned != totals.written + totals.rejected + totals.dead:
        raise PipelineError(
            f"samples: {totals.planned} planned, but {totals.written} written + "
            f"{totals.rejected} rejected + {totals.dead} dead; "
            "this is a defect, please report it"
        )


def _counts(store: Store, folder: str, buckets: Sequence[str]) -> Counts:
    markers = side_by_side(lambda name: read_marker(store, folder, name), buckets)
    return added(marker.counts for marker in markers)


class Sources(NamedTuple):
    """What the clips of a build come from: clips by licence, how many licences there are, groups by
    split.
    """

    licences: dict[str, int]
    distinct: int
    groups: dict[str, int]


def _sources(store: Store, buckets: Sequence[str]) -> Sources:
    """Where the clips come from; raises where a group stands in two splits."""
    with scratch() as found:
        columns = ["source.licence", "group", "split"]
        found.fill(
            "clips", side_by_side(lambda name: CLIPS.read_arrow(store, name, columns), buckets)
        )
        parted = found.rows(
            'select "group", min(split), max(split) from clips '
            "group by all having min(split) <> max(split) limit 1"
        )
        if parted:
            raise PipelineError(
                "group {} stands in {} and in {}; this is a defect, please report it".format(
                    *parted[0]
                )
            )
        found.run(
            f"""create table said as
                select left(coalesce(nullif(source.licence, ''), '{_UNKNOWN}'), {_LONGEST_KEPT})
                       as name, count(*) as clips
                from clips group by all"""
        )
        named = found.rows(
            f"select name, clips from said order by clips desc, name limit {_MOST_LICENCES}"
        )
        [(distinct, clips)] = found.rows("select count(*), sum(clips)::bigint from said")
        groups = found.rows('select split, count(distinct "group") from clips group by split')
    return Sources(_bounded(named, clips), distinct, dict(sorted(groups)))


def _bounded(named: Sequence[tuple[str, int]], clips: int) -> dict[str, int]:
    """The most frequent licences with their clips, in order; all others under one name."""
    rest = clips - sum(count for _, count in named)
    licences = Counter(dict(named)) + Counter({_OTHERS: rest})
    return dict(sorted(licences.items()))


def _shard(store: Store, bucket: str) -> DatasetShard | None:
    """What dataset.json says of a bucket's shard; none where it wrote none."""
    name = SHARDS.index.file(bucket)
    if not store.exists(name):
        return None
    index = ShardIndex.model_validate_json(read_checked(store, SHARDS.folder, bucket, name))
    return DatasetShard(
        file=SHARDS.file(bucket),
        split=Bucket.parse(bucket).split,
        count=index.count,
        bytes=index.bytes,
        duration_s=index.duration_s or 0.0,
        sha256=index.sha256,
    )


def _splits(shards: Sequence[DatasetShard]) -> dict[str, SplitTotals]:
    found: dict[str, list[DatasetShard]] = defaultdict(list)
    for shard in shards:
        found[shard.split.value].append(shard)
    return {name: _split(found[name]) for name in sorted(found)}


def _split(shards: Sequence[DatasetShard]) -> SplitTotals:
    hours = 0.0
    # one after the other: `sum` of floats adds them more exactly from Python 3.12 on
    for shard in shards:
        hours += shard.duration_s / 3600
    return SplitTotals(
        samples=sum(shard.count for shard in shards), hours=round(hours, 4), shards=len(shards)
    )


def _tool_licences(store: Store, buckets: Sequence[str], recipe: Recipe) -> dict[str, str]:
    """Licence of each tool that the labels name, of corrections, of Rubber Band, and of what judges
    a model's words; one clip of each bucket tells.
    """
    found = {"rubberband": rubberband.LICENCE}
    if recipe.caption.paraphraser is Paraphraser.OPENAI:
        found[minilm.NAME] = minilm.LICENCE
    if recipe.embeds:
        found[description(recipe).name] = description(recipe).licence
    if recipe.encodes:
        found[codec_facts(recipe).name] = codec_facts(recipe).licence
    for rows in side_by_side(lambda name: first_row(store, ANNOTATIONS.file(name)), buckets):
        for labels in (Annotation.model_validate(row).labels for row in rows):
            found |= {
                claim.tool: claim.licence for claim in (labels.beats, labels.chords, labels.key)
            }
    for song_id in corrected_songs(store):
        for edit in folded(read_corrections(store, song_id)).values():
            claims = (edit.beats, edit.meter, edit.chords, edit.key)
            found |= {claim.tool: claim.licence for claim in claims if claim is not None}
    return dict(sorted(found.items()))


def agreement_by_kind(store: Store, buckets: Sequence[str]) -> dict[str, KindAgreement]:
    """Mean agreement of labels extracted again with the ones carried, per kind of variant."""
    rows: dict[str, list[LabelAgreement]] = defaultdict(list)
    for table in side_by_side(lambda name: VERIFIED.read_arrow(store, name), buckets):
        for row in map(Relabelled.model_validate, table.to_pylist()):
            rows[variant_kind(row.variant).value].append(row.agreement)
    order = [kind.value for kind in VariantKind if kind.value in rows]
    return {
        kind: KindAgreement(samples=len(rows[kind]), **mean_agreement(rows[kind]).model_dump())
        for kind in order
    }


def card(dataset: Dataset) -> str:
    """The dataset card, in Markdown."""
    lines = [
        f"# {plain_line(dataset.name)}",
        "",
        f"Built by Obbligato {dataset.obbligato}, schema version {dataset.schema_version}.",
        "",
    ]
    lines += ["| split | samples | hours | shards |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {row.samples} | {row.hours:.2f} | {row.shards} |"
        for name, row in dataset.splits.items()
    ]
    inputs, samples = dataset.inputs, dataset.samples
    ended = " + ".join(f"{count} {name}" for name, count in inputs.ended.items())
    lines += ["", f"Inputs: {inputs.listed} = {ended or 0}.", ""]
    lines += [
        (
            f"Samples: {samples.planned} planned = {samples.written} "
            f"written + {samples.rejected} rejected + {samples.dead} dead."
        ),
        "",
    ]
    if dataset.agreement:
        lines += [
            "## Labels extracted again",
            "",
            "| variants | samples | beats | downbeats | meter | tempo | chords | key |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for kind, row in dataset.agreement.items():
            values = [getattr(row, name) for name in LabelAgreement.model_fields]
            figures = " | ".join("–" if value is None else f"{value:.2f}" for value in values)
            lines.append(f"| {kind} | {row.samples} | {figures} |")
        lines += [
            "",
            (
                "Agreement of the labels each sample carries with labels extracted from its own "
                "audio: beats and downbeats F within 70 ms,"
            ),
            "tempo within 4 %, chords by root and third over time.",
        ]
    lines += _captions(dataset.stages)
    lines += account_lines(dataset)
    lines += _latents(dataset.latents)
    lines += _codes(dataset.codes)
    lines += ["", "## Licences", ""]
    lines += _source_licences(dataset.licences)
    lines += [
        f"- {plain_line(name)}: {plain_line(licence)}"
        for name, licence in dataset.licences.tools.items()
    ]
    return "\n".join(lines) + "\n"


def _captions(stages: Mapping[str, Counts]) -> list[str]:
    """How many captions were reworded, what was refused, and what sources claim that labels
    deny.
    """
    composed = CaptionCounts.model_validate(stages.get("caption", {}))
    reworded = ParaphraseCounts.model_validate(stages.get("paraphrase", {}))
    distinct = DistinctCounts.model_validate(stages.get("dedup_paraphrases", {}))
    dropped = {
        "meaning": distinct.dropped_meaning,
        "near_duplicate": distinct.dropped_near_duplicate,
    }
    contradictions = by_name(composed.source_contradicts)
    rows = [("control captions", reworded.controls), ("rewordings kept", distinct.kept)]
    rows += [(f"rewordings refused: {name}", count) for name, count in reworded.refused.ranked()]
    rows += [(f"rewordings dropped: {name}", count) for name, count in by_name(dropped)]
    rows += [("captions that no model reworded", reworded.unanswered)]
    rows += [
        (f"sources that contradict their {name} label", count) for name, count in contradictions
    ]
    shown = [f"| {name} | {count} |" for name, count in rows if count]
    return ["", "## Captions", "", "| | count |", "|---|---:|", *shown] if shown else []


def _latents(facts: CodecFacts | None) -> list[str]:
    """The card's lines on the latents."""
    if facts is None:
        return []
    return [
        "",
        "## Latents",
        "",
        (
            f"In every sample as `<key>.latent.npy`: half precision, {facts.channels} "
            f"channels × frames × {facts.bands} bands, {facts.frames_per_s:g} frames a second,"
        ),
        (
            f"by the codec {facts.name} {facts.version} ({facts.licence}) "
            f"of the audio in {facts.channel_name} at {facts.rate_hz} Hz{_levelled(facts)}."
        ),
    ]


def _codes(facts: CodeFacts | None) -> list[str]:
    """The card's lines on the codes."""
    if facts is None:
        return []
    return [
        "",
        "## Codes",
        "",
        (
            f"In every sample as `<key>.codes.npy`: {facts.books} codebooks × frames, 16 bits "
            f"each, of {facts.entries} entries, {facts.frames_per_s:g} frames a second,"
        ),
        (
            "the coarse codebook first: what the codec rounds the latents to, before they are "
            "stored in half precision."
        ),
    ]


def _levelled(facts: CodecFacts) -> str:
    return "" if facts.level is WaveLevel.AS_IS else f", its level brought to: {facts.level}"


def _source_licences(licences: LicenceTotals) -> list[str]:
    """The most frequent licences of the sources, and how many more there are."""
    ranked = sorted(licences.sources.items(), key=lambda row: (-row[1], row[0]))
    shown = [row for row in ranked if row[0] != _OTHERS][:_MOST_SHOWN]
    lines = [f"- sources, {plain_line(name)}: {count} clips" for name, count in shown]
    clips = sum(licences.sources.values()) - sum(count for _, count in shown)
    return lines + (
        [f"- sources, and {licences.distinct - len(shown)} more: {clips} clips"] if clips else []
    )


def plain_line(text: str, longest: int = _LONGEST) -> str:
    r"""Foreign text in one short line of Markdown that shows it as it is: no break, heading, link,
    picture or markup comes of it.

    >>> plain_line("CC-BY-4.0"), plain_line("free!\n# [x](http://y)")
    ('CC-BY-4.0', 'free\\! \\# \\[x\\](http://y)')
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKDOWN.sub(r"\\\1", line if len(line) <= longest else f"{line[: longest - 1]}…")


def _close(build: BegunBuild) -> dict[str, int]:
    dataset = close_dataset(build.store, build.recipe, build.stages)
    return {
        **dataset.samples.model_dump(),
        "version": publish_version(build.store, dataset, build.recipe).number,
    }


STEP: Final = CorpusStep(name="close", run=_close, writes=(VERSIONS,))
