"""Five seconds of eight clips by heart: does the loss fall tenfold, and does what is played have
the asked chords?

    python -m tests.benchmarks.training.overfit CORPUS OUT [--steps 1500]

CORPUS is a build with mel latents (`obbligato encode --codec mel`). Prints the loss of the
untrained and the trained net, and how much of the time the chords of what is played, by our
annotators, are those that were asked for (root and major or minor), against the chords that were
asked of the other clips.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.audio.decode import resampled
from pipelines.labels.agreement import agreement
from pipelines.labels.transform import cut
from pipelines.storage.tar import TarWriter
from schemas.identity import Split
from schemas.recipe import AnnotateRecipe
from schemas.sample import Sample
from training.conditions.clip_controls import ClipControls
from training.data.examples import members_of, parsed
from training.data.index import index_corpus, read_ranges
from training.data.prompts import FULL_CONDITIONING
from training.data.recipe import DataRecipe
from training.diffusion.model import LatentDiffusion
from training.evaluation.chroma import Chroma, chroma_of
from training.evaluation.condition_ablation import ablate_conditions
from training.generation.generate import GenerationRequest, Generator
from training.run.loop import train
from training.run.presets import ready_recipe
from training.run.recipe import OptimRecipe, TrainRecipe

CLIPS = 8
SECONDS = 5.0
ROUNDS = 32


def eight(corpus: str, shard: Path) -> list[Sample]:
    """The first original clip of each of eight songs, as a shard of their own."""
    places = index_corpus(corpus, Split.TRAIN)
    found: dict[str, Sample] = {}
    shard.parent.mkdir(parents=True, exist_ok=True)
    with shard.open("wb") as out:
        tar = TarWriter(out)
        for number in range(len(places)):
            content = read_ranges([places.range_of(number)])[0]
            assert isinstance(content, bytes)
            members = members_of(content)
            sample = parsed(members)
            if (
                sample.change.variant == "orig"
                and sample.song_id not in found
                and len(found) < CLIPS
            ):
                found[sample.song_id] = sample
                for extension, part in members.items():
                    tar.add(f"{sample.key}.{extension}", part)
        tar.close()
    return list(found.values())


def recipe(folder: Path, steps: int) -> TrainRecipe:
    """`tiny`, told everything each time."""
    tiny = ready_recipe("tiny")
    return tiny.replaced(
        data=DataRecipe(
            shards=(str(folder),),
            seconds=SECONDS,
            batch=CLIPS,
            micro_batch=CLIPS,
            workers=1,
            validation=0,
        ),
        prompts=FULL_CONDITIONING,
        sampling=tiny.sampling.replaced(guidance=1.0),  # it learns nothing to lead away from
        optim=OptimRecipe(lr=2e-3, warmup_steps=50, decay=tiny.optim.decay, ema=0.99),
        run=tiny.run.replaced(steps=steps, checkpoint_every=steps, log_every=25),
    )


def chords_heard(played: list[np.ndarray], samples: list[Sample], rate_hz: int) -> np.ndarray:
    """Share of time in which chords heard in each clip are those asked of each sample: (clip,
    sample).
    """
    waves = [resampled(wave, rate_hz, RATE_HZ) for wave in played]
    estimated = annotate_waves(waves, AnnotateRecipe())
    return np.array(
        [
            [agreement(cut(sample.labels, SECONDS), labels).chords or 0.0 for sample in samples]
            for labels in estimated
        ]
    )


def energy_on(played: list[np.ndarray], samples: list[Sample], rate_hz: int) -> np.ndarray:
    """Share of each clip's chroma that lies on the tones of the chords asked of each sample: (clip,
    sample).
    """
    chromas = [chroma_of(resampled(wave, rate_hz, RATE_HZ)) for wave in played]
    return np.array([[_on_tones(chroma, sample) for sample in samples] for chroma in chromas])


def _on_tones(chroma: Chroma, sample: Sample) -> float:
    on = total = 0.0
    for segment in sample.chords.segments:
        if segment.chord is not None and segment.start_s < SECONDS:
            part = chroma.levels[
                :,
                round(segment.start_s * chroma.frames_per_s) : round(
                    segment.end_s * chroma.frames_per_s
                ),
            ]
            on += float(part[sorted(segment.chord.pitches)].sum())
            total += float(part.sum())
    return on / total if total else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    samples = eight(arguments.corpus, arguments.out / "shards" / "train-00000.tar")
    train(
        recipe(arguments.out / "shards", arguments.steps),
        str(arguments.out / "run"),
        lambda line: print(line, flush=True),
    )
    generator = Generator.of(str(arguments.out / "run"))
    torch.manual_seed(0)
    fresh = generator._replace(
        model=LatentDiffusion(generator.recipe.model, generator.recipe.objective)
    )
    first, last = (
        ablate_conditions(one, str(arguments.out / "shards"), split=Split.TRAIN, rounds=ROUNDS)[
            0
        ].right
        for one in (fresh, generator)
    )
    print(
        f"loss {first:.3f} untrained, {last:.3f} trained, the same {ROUNDS} draws of noise for "
        f"each clip: {first / last:.1f} times less"
    )
    prompts = [max(sample.captions, key=lambda one: len(one.text)).text for sample in samples]
    requests = [
        GenerationRequest(sample.key, text, ClipControls(cut(sample.labels, SECONDS)))
        for sample, text in zip(samples, prompts, strict=True)
    ]
    played, apart = generator.play(requests), ~np.eye(len(samples), dtype=bool)
    for what, measure in (
        ("chroma on the asked chords' tones", energy_on),
        ("chords heard as asked, of the time", chords_heard),
    ):
        shares = measure(played, samples, generator.codec.facts.rate_hz)
        by_clip = " ".join(f"{share:.2f}" for share in np.diag(shares))
        print(
            f"{what}: {np.diag(shares).mean():.3f}; as asked of other clips "
            f"{shares[apart].mean():.3f} (chance); by clip {by_clip}"
        )


if __name__ == "__main__":
    main()
