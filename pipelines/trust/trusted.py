"""What data may name.

A recipe that lies beside data is data: what it names runs, is fetched or is asked only where its
reader said so.

Free without leave are our own names and the models that are our own defaults. All else must be
named by hand: on the command line, in a recipe that was handed over, in a flow's parameters, or in
the reader's own configuration. What is named by hand for an output is remembered there, never in
the data, so that later commands on it go on.

What a recipe names as code, models and servers is held against that list wherever it is used
(`requested`). What it reads of this machine and of networks, with the rights of whoever runs it, is
held against it where a build that stands is gone on with by hand (`reached`).
"""

import fcntl
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines.annotators import BEATS, CHORDS, KEY
from pipelines.codecs import CODECS
from pipelines.embedders import EMBEDDERS
from pipelines.errors import PipelineError
from pipelines.plug_ins import Door
from pipelines.pretrained.hub import pinned
from schemas.recipe import LlmRecipe, Paraphraser, Recipe

# names that hold for every output, one a line; for machines that are set up by others
VARIABLE: Final = "OBBLIGATO_TRUST"
FOLDER: Final = "OBBLIGATO_CONFIG"  # another place for what is remembered
EVERYWHERE: Final = "*"
# Models that our own knobs have as defaults; loaded from safetensors alone.
OUR_MODELS: Final = frozenset(
    (
        "laion/larger_clap_music",
        "cvssp/audioldm-s-full-v2",
        "facebook/encodec_32khz",
        "descript/dac_16khz",
        "stabilityai/stable-audio-open-1.0",
        "stabilityai/SAME-S",
        "google/flan-t5-large",
        "minilm",
    )
)


class NotTrusted(PipelineError):
    """Data names something that its reader has not named."""


def requested(recipe: Recipe) -> tuple[str, ...]:
    """What a build's recipe names beyond our own, as ``knob=value``: modules, plug-ins,
    interpreters, models of others, servers.

    >>> theirs = Recipe().encode.replaced(codec="company.codec")
    >>> requested(Recipe()), requested(Recipe().replaced(encode=theirs))
    ((), ('encode.codec=company.codec',))
    """
    annotate, label, encode = recipe.annotate, recipe.label, recipe.encode
    codec = named_plug_in("encode.codec", encode.codec, CODECS)
    embedder = named_plug_in("label.embedder", label.embedder, EMBEDDERS)
    found = [
        named_plug_in("annotate.beats", annotate.beats, BEATS),
        named_plug_in("annotate.chords", annotate.chords, CHORDS),
        named_plug_in("annotate.key", annotate.key, KEY),
        codec,
        named_model("encode.source", encode.source, by_others=bool(codec)),
        named_model("label.model", label.model, by_others=bool(embedder)),
        embedder,
        f"label.python={label.python}" if label.python else "",
    ]
    if recipe.caption.paraphraser is Paraphraser.OPENAI:
        found += [
            "caption.paraphraser=openai",
            f"llm.base_url={recipe.llm.base_url}" if recipe.llm.base_url else "",
            *_costs(recipe.llm),
        ]
    return tuple(name for name in found if name)


def _costs(llm: LlmRecipe) -> Iterator[str]:
    """What decides how much money may go: an output whose server was named once has a budget of its
    owner's, and his prices.
    """
    if llm.budget_usd:
        yield f"llm.budget_usd={llm.budget_usd:g}"
    if llm.prices != LlmRecipe().prices:
        prices = {name: [one.prompt, one.answer] for name, one in sorted(llm.prices.items())}
        yield f"llm.prices={json.dumps(prices)}"


def reached(sources: Iterable[str], recipe: Recipe) -> tuple[str, ...]:
    """What a build reads beyond its own folder, and how far its rows may lead, as ``knob=value``.

    >>> reached(["/music"], Recipe())
    ('source=/music',)
    """
    ingest, label, ours = recipe.ingest, recipe.label, Recipe().ingest
    named = [("source", source) for source in sources]
    named += [
        ("ingest.protocols", protocol)
        for protocol in ingest.protocols
        if protocol not in ours.protocols
    ]
    named += [
        (f"ingest.{knob}", "true")
        for knob in ("private_addresses", "follow_links")
        if getattr(ingest, knob)
    ]
    named += [("label.vocabularies", path) for path in label.vocabularies]
    named += [("label.exclude", path) for path in label.exclude]
    return tuple(f"{knob}={value}" for knob, value in named)


def named_plug_in(knob: str, name: str, door: Door[object]) -> str:
    """A knob whose value is a plug-in or a module by its dotted name, as ``knob=value``.

    Empty for our own, and for none.
    """
    return f"{knob}={name}" if name and not door.is_built_in(name) else ""


def named_model(knob: str, source: str, *, by_others: bool = False) -> str:
    """A knob whose value is the id of somebody's model on a hub, as ``knob=value``.

    Empty for our defaults, and for folders.

    Ours are read from safetensors alone. Where code `by_others` reads it, a folder is named too:
    nobody knows how.
    """
    is_ours = not source or pinned(source).name in OUR_MODELS
    is_folder = os.path.isabs(source) or os.path.isdir(source)
    return "" if is_ours or (is_folder and not by_others) else f"{knob}={source}"


def check_trust(output: str, names: Iterable[str]) -> None:
    """Raise `NotTrusted` where data in `output` names what nobody has named by hand for it."""
    named = frozenset(names)
    left = sorted(named - trusted(output)) if named else []
    if left:
        raise NotTrusted(
            f"what lies in {output} wants {', '.join(left)}, which would run, fetch, read or ask "
            "something that you have not named "
            f"yourself; if you trust it: {shlex.join(['obbligato', 'trust', output, *left])}"
        )


def trusted(output: str) -> frozenset[str]:
    """What data in an output may name: what was named by hand for it, or for everywhere."""
    remembered = _read(_file())
    named = (
        *remembered.get(_key(output), ()),
        *remembered.get(EVERYWHERE, ()),
        *os.environ.get(VARIABLE, "").splitlines(),
    )
    return frozenset(named)


def trust(output: str, names: Iterable[str]) -> None:
    """Remember what was named by hand for an output (`EVERYWHERE`: for all).

    Raises `PipelineError` where it cannot be written.
    """
    named = frozenset(names)
    new = named - trusted(output) if named else named
    if not new:
        return
    file, key = _file(), _key(output)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(file):
            remembered = _read(file)
            remembered[key] = sorted({*remembered.get(key, ()), *new})
            _write(file, remembered)
    except OSError as error:
        raise PipelineError(
            f"{file} cannot be written ({error.strerror}), where it is remembered that "
            f"you named {', '.join(sorted(new))}; name a folder that can in {FOLDER}"
        ) from error


def _file() -> Path:
    folder = os.environ.get(FOLDER) or os.path.join(
        os.environ.get("XDG_CONFIG_HOME") or "~/.config", "obbligato"
    )
    return Path(folder).expanduser() / "trusted.json"


def _key(output: str) -> str:
    """An output by one name: a local folder from the root, links followed."""
    return output if output == EVERYWHERE or "://" in output else os.path.realpath(output)


def _read(file: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"{file}, your own list of what is trusted, cannot be read ({error}); mend or remove it"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(names, list) for names in found.values()):
        raise PipelineError(
            f"{file}, your own list of what is trusted, is not a table of lists; mend or remove it"
        )
    return found


def _write(file: Path, remembered: dict[str, list[str]]) -> None:
    made = file.with_name(f".{file.name}-{os.getpid()}")
    made.touch(mode=0o600)
    made.write_text(json.dumps(remembered, indent=1, sort_keys=True) + "\n")
    made.replace(file)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the folder, so that of two commands none overwrites what the other remembers."""
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
