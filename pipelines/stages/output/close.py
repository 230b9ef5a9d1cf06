"""The end of a build: both identities checked, no group in two splits, then dataset.json and the
dataset card.
"""

import importlib.metadata
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from pipelines.audio import rubberband
from pipelines.embedders import minilm
from pipelines.engine.stage import Stage, read_checked, read_marker
from pipelines.errors import PipelineError
from pipelines.labels.agreement import Agreement, mean_agreement
from pipelines.shards.find import DATASET
from pipelines.stages.inputs.assign_buckets import check_inputs, read_plan
from pipelines.stages.labels.embed_audio import description
from pipelines.stages.output import encode
from pipelines.stages.output.pseudo_labels_card import account, account_lines
from pipelines.stages.output.verify import Relabelled
from pipelines.storage.arrow import first_row, read_table, side_by_side
from pipelines.storage.duckdb_scratch import scratch
from pipelines.storage.store import Store
from schemas.counts import CaptionCounts, Counts, DistinctCounts, ParaphraseCounts, added, by_name
from schemas.identity import Bucket, VariantKind, variant_kind
from schemas.labels import Annotation
from schemas.recipe import Recipe, Writer
from schemas.sample import SCHEMA_VERSION

# by this machine and this version: no claims about what was built
_MEASURED_ANEW: Final = {"agreement", "obbligato"}
_UNKNOWN: Final = "unknown"
_OTHERS: Final = "others"  # licences beyond the most frequent ones, under one name
_MOST_LICENCES: Final = 1000  # in dataset.json: it stays small, whatever tables say
_MOST_SHOWN: Final = 50  # on the card
_LONGEST: Final = 80  # characters of a foreign text on the card
_LONGEST_KEPT: Final = 200  # and of a licence in dataset.json; whole, it stands in every sample
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>|~&$#!])")


def close_dataset(store: Store, recipe: Recipe, stages: Sequence[Stage]) -> dict[str, Any]:
    """Check the build as a whole and publish what it holds.

    Raises `PipelineError` where an identity does not hold.
    """
    dataset = described(store, recipe, stages)
    publish_dataset(store, dataset)
    return dataset


def publish_dataset(store: Store, dataset: Mapping[str, Any]) -> None:
    """Write dataset.json and the dataset card."""
    store.write_json(DATASET, dataset)
    store.write_bytes("README.md", card(dataset).encode())


def check_stated(store: Store, found: Mapping[str, Any]) -> None:
    """Raise `PipelineError` where dataset.json states otherwise than what was found.

    What is measured anew each time may differ.
    """
    stated = store.read_json(DATASET) if store.exists(DATASET) else {}
    claims = stated if isinstance(stated, dict) else {}
    known = json.loads(json.dumps(found))
    other = sorted(
        name for name in {*known, *claims} - _MEASURED_ANEW if known.get(name) != claims.get(name)
    )
    if other:
        raise PipelineError(
            f"{store.url}/{DATASET} states another {', '.join(f'`{name}`' for name in other)} "
            "than is found in the build, and was left as "
            "it is; run obbligato build again, which writes it anew"
        )


def described(store: Store, recipe: Recipe, stages: Sequence[Stage]) -> dict[str, Any]:
    """What a build holds, by its plan, its markers and its tables.

    Raises `PipelineError` where an identity does not hold.
    """
    plan = read_plan(store)
    counts = {stage.name: _counts(store, stage, plan["buckets"]) for stage in stages}
    check_inputs(plan["inputs"])
    check_samples(counts["pack"])
    if not counts["pack"].get("written"):
        raise PipelineError(
            f"no sample was written; `obbligato dead ls {store.url} --rejected` says why for each"
        )
    sources = _sources(store, plan["buckets"])
    shards = [shard for shard in side_by_side(partial(_shard, store), plan["buckets"]) if shard]
    in_shards = sum(shard["count"] for shard in shards)
    if in_shards != counts["pack"]["written"]:
        raise PipelineError(
            f"{counts['pack']['written']} samples written, "
            f"but the shards hold {in_shards}; build again"
        )
    return {
        "name": recipe.corpus.name,
        "obbligato": importlib.metadata.version("obbligato"),
        "schema_version": SCHEMA_VERSION,
        "inputs": plan["inputs"],
        "samples": {
            name: counts["pack"].get(name, 0) for name in ("planned", "written", "rejected", "dead")
        },
        "splits": _splits(shards),
        "stages": counts,
        "groups": {**sources["groups"], "disagreeing": plan["disagreeing_groups"]},
        "licences": {
            "distinct": sources["distinct"],
            "sources": sources["licences"],
            "tools": _tool_licences(store, plan["buckets"], recipe),
        },
        "tools": {
            name: version for stage in stages for name, version in stage.tools(recipe).items()
        },
        "pseudo_labels": account(store, recipe),
        "latents": encode.account(recipe),
        "agreement": agreement_by_kind(store, plan["buckets"]),
        "shards": shards,
    }


def check_samples(counts: Mapping[str, int]) -> None:
    """Raise unless planned = written + rejected + dead."""
    planned, written = counts.get("planned", 0), counts.get("written", 0)
    rejected, dead = counts.get("rejected", 0), counts.get("dead", 0)
    if planned != written + rejected + dead:
        raise PipelineError(
            f"samples: {planned} planned, but {written} written + {rejected} rejected + {dead} "
            "dead; this is a defect, please report it"
        )


def _counts(store: Store, stage: Stage, buckets: Sequence[str]) -> Counts:
    markers = side_by_side(lambda name: read_marker(store, stage.folder, name), buckets)
    return added(marker["counts"] for marker in markers)


def _sources(store: Store, buckets: Sequence[str]) -> dict[str, Any]:
    """Licences of the sources by number of clips, and groups per split; raises where a group stands
    in two splits.
    """
    with scratch() as found:
        columns = ["source.licence", "group", "split"]
        found.fill(
            "clips",
            side_by_side(lambda name: read_table(store, f"clips/{name}.parquet", columns), buckets),
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
    return {
        "licences": _bounded(named, clips),
        "distinct": distinct,
        "groups": dict(sorted(groups)),
    }


def _bounded(named: Sequence[tuple[str, int]], clips: int) -> dict[str, int]:
    """The most frequent licences with their clips, in order; all others under one name."""
    rest = clips - sum(count for _, count in named)
    licences = Counter(dict(named)) + Counter({_OTHERS: rest})
    return dict(sorted(licences.items()))


def _shard(store: Store, bucket: str) -> dict[str, Any] | None:
    """What dataset.json says of a bucket's shard; none where it wrote none."""
    if not store.exists(f"shards/{bucket}.json"):
        return None
    index = json.loads(read_checked(store, "shards", bucket, f"shards/{bucket}.json"))
    return {
        "file": f"shards/{bucket}.tar",
        "split": Bucket.parse(bucket).split.value,
        "count": index["count"],
        "bytes": index["bytes"],
        "duration_s": index["duration_s"],
        "sha256": index["sha256"],
    }


def _splits(shards: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for shard in shards:
        total = found.setdefault(shard["split"], {"samples": 0, "hours": 0.0, "shards": 0})
        total["samples"] += shard["count"]
        total["hours"] += shard["duration_s"] / 3600
        total["shards"] += 1
    return {
        name: {**total, "hours": round(total["hours"], 4)} for name, total in sorted(found.items())
    }


def _tool_licences(store: Store, buckets: Sequence[str], recipe: Recipe) -> dict[str, str]:
    """Licence of each tool that the labels name, of Rubber Band, and of what judges a model's
    words; one clip of each bucket tells.
    """
    found = {"rubberband": rubberband.LICENCE}
    if recipe.caption.paraphraser is Writer.OPENAI:
        found[minilm.NAME] = minilm.LICENCE
    if recipe.embeds:
        found[description(recipe).name] = description(recipe).licence
    if recipe.encodes:
        found[encode.codec_facts(recipe).name] = encode.codec_facts(recipe).licence
    for rows in side_by_side(lambda name: first_row(store, f"annotations/{name}.parquet"), buckets):
        for labels in (Annotation.model_validate(row).labels for row in rows):
            found |= {
                claim.tool: claim.licence for claim in (labels.beats, labels.chords, labels.key)
            }
    return dict(sorted(found.items()))


def agreement_by_kind(
    store: Store, buckets: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """Mean agreement of labels extracted again with the ones carried, per kind of variant."""
    rows: dict[str, list[Agreement]] = defaultdict(list)
    for table in side_by_side(lambda name: read_table(store, f"verified/{name}.parquet"), buckets):
        for row in map(Relabelled.model_validate, table.to_pylist()):
            rows[variant_kind(row.variant).value].append(row.agreement)
    order = [kind.value for kind in VariantKind if kind.value in rows]
    return {
        kind: {"samples": len(rows[kind]), **mean_agreement(rows[kind]).model_dump()}
        for kind in order
    }


def card(dataset: Mapping[str, Any]) -> str:
    """The dataset card, in Markdown."""
    lines = [
        f"# {plain_line(dataset['name'])}",
        "",
        f"Built by Obbligato {dataset['obbligato']}, schema version {dataset['schema_version']}.",
        "",
    ]
    lines += ["| split | samples | hours | shards |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {row['samples']} | {row['hours']:.2f} | {row['shards']} |"
        for name, row in dataset["splits"].items()
    ]
    inputs, samples = dataset["inputs"], dataset["samples"]
    ended = " + ".join(f"{count} {name}" for name, count in inputs.items() if name != "in")
    lines += ["", f"Inputs: {inputs['in']} = {ended or 0}.", ""]
    lines += [
        (
            f"Samples: {samples['planned']} planned = {samples['written']} written + "
            f"{samples['rejected']} rejected + {samples['dead']} dead."
        ),
        "",
    ]
    if dataset["agreement"]:
        lines += [
            "## Labels extracted again",
            "",
            "| variants | samples | beats | downbeats | meter | tempo | chords | key |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for kind, row in dataset["agreement"].items():
            figures = " | ".join(
                "–" if row[name] is None else f"{row[name]:.2f}" for name in Agreement.model_fields
            )
            lines.append(f"| {kind} | {row['samples']} | {figures} |")
        lines += [
            "",
            (
                "Agreement of the labels each sample carries with labels extracted from its own "
                "audio: beats and downbeats F within 70 ms,"
            ),
            "tempo within 4 %, chords by root and third over time.",
        ]
    lines += _captions(dataset["stages"])
    lines += account_lines(dataset)
    lines += encode.account_lines(dataset)
    lines += ["", "## Licences", ""]
    lines += _source_licences(dataset["licences"])
    lines += [
        f"- {plain_line(name)}: {plain_line(licence)}"
        for name, licence in dataset["licences"]["tools"].items()
    ]
    return "\n".join(lines) + "\n"


def _captions(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How many captions were reworded, what was refused, and what sources claim that labels
    deny.
    """
    composed = CaptionCounts.model_validate(stages.get("caption", {}))
    reworded = ParaphraseCounts.model_validate(stages.get("paraphrase", {}))
    distinct = DistinctCounts.model_validate(stages.get("distinct", {}))
    dropped = {
        "meaning": distinct.dropped_meaning,
        "near_duplicate": distinct.dropped_near_duplicate,
    }
    rows = [
        ("control captions", reworded.controls),
        ("rewordings kept", distinct.kept),
        *((f"rewordings refused: {name}", count) for name, count in reworded.refused.ranked()),
        *((f"rewordings dropped: {name}", count) for name, count in by_name(dropped)),
        ("captions that no model reworded", reworded.unanswered),
        *(
            (f"sources that contradict their {name} label", count)
            for name, count in by_name(composed.source_contradicts)
        ),
    ]
    shown = [f"| {name} | {count} |" for name, count in rows if count]
    return ["", "## Captions", "", "| | count |", "|---|---:|", *shown] if shown else []


def _source_licences(licences: Mapping[str, Any]) -> list[str]:
    """The most frequent licences of the sources, and how many more there are."""
    ranked = sorted(licences["sources"].items(), key=lambda row: (-row[1], row[0]))
    shown = [row for row in ranked if row[0] != _OTHERS][:_MOST_SHOWN]
    lines = [f"- sources, {plain_line(name)}: {count} clips" for name, count in shown]
    clips = sum(licences["sources"].values()) - sum(count for _, count in shown)
    return lines + (
        [f"- sources, and {licences['distinct'] - len(shown)} more: {clips} clips"] if clips else []
    )


def plain_line(text: str, longest: int = _LONGEST) -> str:
    r"""Foreign text in one short line of Markdown that shows it as it is: no break, heading, link,
    picture or markup comes of it.

    >>> plain_line("CC-BY-4.0"), plain_line("free!\n# [x](http://y)")
    ('CC-BY-4.0', 'free\\! \\# \\[x\\](http://y)')
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKDOWN.sub(r"\\\1", line if len(line) <= longest else f"{line[: longest - 1]}…")
