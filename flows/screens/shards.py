"""Shards on the terminal: one sample as a lead sheet, rows of shards, problems."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from flows.screens.plain import message, plain
from flows.screens.terminal import Screen
from pipelines.guarded.json_objects import pretty_json
from pipelines.labels.lead_sheet import heading, lead_sheet
from pipelines.shards.find import ShardProblem
from pipelines.shards.pick import Picked
from pipelines.shards.stats import ShardRow
from schemas.chord import Chord
from schemas.corpus import Change, Guest
from schemas.fact import BpmFact, ChordsFact, Fact, KeyFact, MeterFact, TimeFact
from schemas.identity import VariantKind, variant_kind
from schemas.labels import Beats, Claim, Labels
from schemas.pitch import Key, pretty
from schemas.sample import Sample

_NONE: Final = "–"
_MOST_BEATS: Final = 32  # in a bar that is drawn; a file can claim a billion
_MOST_DRAWN: Final = 2000  # beats: a quarter of an hour
_LONGEST_TEXT: Final = 20_000  # characters


def print_shards(console: Screen, rows: Sequence[ShardRow]) -> None:
    """A line per shard, and totals."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("shard", overflow="fold")
    table.add_column("split")
    for name in ("samples", "hours", "MB", "problems"):
        table.add_column(name, justify="right")
    for row in rows:
        size = _NONE if row.bytes is None else f"{row.bytes / 1e6:,.1f}"
        problems = Text(f"{row.problems:,}", style="bold red" if row.problems else "")
        table.add_row(
            plain(row.shard),
            row.split or _NONE,
            f"{row.samples:,}",
            f"{row.duration_s / 3600:.2f}",
            size,
            problems,
        )
    samples = sum(row.samples for row in rows)
    hours = sum(row.duration_s for row in rows) / 3600
    megabytes = sum(row.bytes or 0 for row in rows) / 1e6
    flaws = sum(row.problems for row in rows)
    totals = (f"{samples:,}", f"{hours:.2f}", f"{megabytes:,.1f}", f"{flaws:,}")
    table.add_section()
    table.add_row(f"{len(rows)} shard{'s' * (len(rows) != 1)}", "", *totals, style="bold")
    console.print(table)


def problem_line(problem: ShardProblem) -> str:
    """A problem in one line: shard, key, what is wrong, and its code."""
    where = f"{problem.shard}: {problem.key}" if problem.key else problem.shard
    return message(f"{where}: {problem.message} [{problem.code}]")


def print_sample(console: Screen, picked: Picked) -> None:
    """One sample: ours as a lead sheet with captions and provenance, a foreign one by member."""
    console.print(plain(picked.raw.key), style="bold", soft_wrap=True)
    if picked.ours:
        _print_ours(console, picked, picked.ours)
    else:
        _print_foreign(console, picked)
    for problem in picked.problems:
        console.print(
            Text.assemble(("problem  ", "bold red"), message(f"{problem.message} [{problem.code}]"))
        )


def _print_ours(console: Screen, picked: Picked, sample: Sample) -> None:
    channels = {1: "mono", 2: "stereo"}.get(sample.channels, f"{sample.channels} channels")
    about = (
        change_text(sample.change),
        f"{sample.duration_s:g} s",
        f"{sample.rate_hz / 1000:g} kHz {channels}",
        sample.split.value,
    )
    console.print(plain(f"{' · '.join(about)} · {picked.raw.shard}"), soft_wrap=True)
    console.print()
    # Its last part, the length, stands in the line above.
    for line in _joined(heading(sample.labels).split("   ")[:-1], "   ", console.width):
        console.print(Text(line))
    for line in _sheet(sample.labels):
        console.print(plain(line), soft_wrap=True)
    console.print()
    key = sample.key_label.key
    captions = _grid()
    for caption in sample.captions:
        captions.add_row(Text(caption.kind.value, style="cyan"), plain(caption.text))
        if caption.facts:
            stated = plain(" · ".join(fact_text(fact, key) for fact in caption.facts))
            captions.add_row("", Text.assemble(("states ", "dim"), stated))
    if not sample.captions:
        captions.add_row(Text("no caption", style="cyan"), "")
    console.print(captions)
    console.print()
    console.print(_provenance(sample))


def _sheet(labels: Labels) -> Iterator[str]:
    most = max(labels.beats.numbers, default=0)
    beats = labels.beats
    if most > _MOST_BEATS or len(beats.times_s) > _MOST_DRAWN:
        yield (
            f"     {len(beats.times_s):,} beats, numbered "
            f"up to {most}, are not drawn; chords by time:"
        )
        labels = labels.replaced(
            beats=Beats(
                confidence=beats.confidence,
                tool=beats.tool,
                version=beats.version,
                licence=beats.licence,
            )
        )
    yield from lead_sheet(labels)


def _provenance(sample: Sample) -> Table:
    source, grid = sample.source, _grid()
    member = f" in {source.member}" if source.member else ""
    grid.add_row(
        Text("source", style="cyan"),
        plain(f"{source.uri}{member}, {sample.start_s:g}–{sample.end_s:g} s"),
    )
    for name in ("title", "artist", "album", "genre"):
        if value := getattr(source, name):
            grid.add_row(Text(name, style="cyan"), plain(value))
    grid.add_row(Text("licence", style="cyan"), plain(source.licence or "unknown"))
    if (guest := sample.guest) is not None:
        grid.add_row(Text("mixed with", style="cyan"), plain(guest_text(guest)))
        licence = plain(guest.source.licence or "unknown")
        grid.add_row(Text("its licence", style="cyan"), licence)
    if source.metadata not in ("", "{}"):
        grid.add_row(Text("metadata", style="cyan"), plain(source.metadata))
    title = "labels"
    for claim, names in _claims(sample):
        tool = " ".join(word for word in (claim.tool, claim.version) if word) or "unknown tool"
        grid.add_row(
            Text(title, style="cyan"),
            plain(
                f"{', '.join(names)}: {claim.origin.value}, {tool} "
                f"({claim.licence or 'unknown licence'})"
            ),
        )
        title = ""
    return grid


def _claims(sample: Sample) -> Iterator[tuple[Claim, list[str]]]:
    """Labels that share tool, version, licence and origin, together."""
    claims = {
        "beats": sample.beats,
        "meter": sample.meter,
        "tempo": sample.tempo,
        "chords": sample.chords,
        "key": sample.key_label,
    }
    by_tool: dict[tuple[str, ...], tuple[Claim, list[str]]] = {}
    for name, claim in claims.items():
        by_tool.setdefault(
            (claim.tool, claim.version, claim.licence, claim.origin.value), (claim, [])
        )[1].append(name)
    yield from by_tool.values()


def _print_foreign(console: Screen, picked: Picked) -> None:
    sound, raw = picked.sound, picked.raw
    console.print(plain(f"no sample of Obbligato · {raw.shard}"), soft_wrap=True)
    console.print()
    grid = _grid()
    for part in raw.parts:
        grid.add_row(plain(f".{part.extension}"), f"{part.size:,} bytes")
    audio = (
        (
            f"{sound.duration_s:.3f} s, {sound.rate_hz} Hz, {sound.channels} "
            f"channel{'s' * (sound.channels > 1)}"
        )
        if sound
        else _NONE
    )
    grid.add_row(Text("audio", style="cyan"), audio)
    for _, text in picked.texts:
        grid.add_row(Text("text", style="cyan"), plain(text.strip()))
    console.print(grid)
    if raw.facts is not None:
        console.print()
        text = pretty_json(raw.facts)
        for line in text[:_LONGEST_TEXT].split("\n"):
            console.print(plain(line), soft_wrap=True)
        if len(text) > _LONGEST_TEXT:
            console.print(f"… {len(text) - _LONGEST_TEXT:,} more characters; --json prints all")


def change_text(change: Change) -> str:
    """What was done to the clip.

    >>> change_text(Change(variant="pu2", semitones=2))
    'pitch +2'
    >>> change_text(Change(variant="v1", gain_start=0.3))
    'crescendo from 0.3'
    """
    kind = variant_kind(change.variant)
    if kind is VariantKind.PITCH:
        return f"pitch {change.semitones:+d}"
    if kind is VariantKind.SPEED:
        return f"speed × {change.speed:.3g}"
    if kind is VariantKind.VOLUME:
        rises = change.gain_start < change.gain_end
        return (
            f"crescendo from {change.gain_start:.2g}"
            if rises
            else f"decrescendo to {change.gain_end:.2g}"
        )
    return "mix" if kind is VariantKind.MIX else "original"


def guest_text(guest: Guest) -> str:
    """What sounds with a mix's host, and what was done to it.

    >>> from schemas.corpus import Source
    >>> source = Source(uri="b.wav")
    >>> how = dict(clip_key="00112233445566aa-0-10000", source=source, start_s=0, end_s=10)
    >>> guest_text(Guest(speed=0.95, semitones=-2, offset_s=0.5, share=0.4, **how))
    'b.wav, 0–10 s, at speed × 0.95, pitch -2, from 0.5 s, share 0.4'
    """
    member = f" in {guest.source.member}" if guest.source.member else ""
    return (
        f"{guest.source.uri}{member}, {guest.start_s:g}–{guest.end_s:g} s, "
        f"at speed × {guest.speed:.3g}, pitch {guest.semitones:+d}, from {guest.offset_s:g} s, "
        f"share {guest.share:.2g}"
    )


def fact_text(fact: Fact, key: Key | None) -> str:
    """A fact as a musician writes it: chords as symbols, the meter as a fraction.

    >>> fact_text(ChordsFact(chords=("Db:min7", "F#:maj")), Key.parse("E"))
    'chords C♯m7 F♯'
    """
    match fact:
        case ChordsFact(chords=labels):
            return f"chords {' '.join(pretty(Chord.parse(label).symbol(key)) for label in labels)}"
        case BpmFact():
            return f"{fact.text} BPM"
        case MeterFact(beats_per_bar=beats):
            return f"{beats}/4"
        case TimeFact():
            return f"at {fact.text} s"
        case KeyFact():
            return pretty(fact.text)
        case _:
            return fact.text


def _joined(parts: Sequence[str], between: str, width: int) -> Iterator[str]:
    """Parts on as few lines as fit."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(between) + len(part) > width:
            yield line
            line = part
        else:
            line += between + part
    yield line


def _grid() -> Table:
    grid = Table.grid(padding=(0, 3))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
