"""Does the check find songs that a net learned by heart?

    python -m tests.benchmarks.training.memorized CORPUS OVER

OVER is what `tests.benchmarks.training.overfit CORPUS OVER` left: a net that knows eight clips by
heart. Lets it play by their captions and controls, and looks for copies; beside them held-out clips
of CORPUS, which must not be copies. The exit status is 1 where fewer than seven of the eight are
found, as the right clips, by fingerprint or nearer than held-out music, or one of held-out music is
a copy.
"""

import argparse
from pathlib import Path

from pipelines.storage.temporary import temporary_folder
from training.evaluation.ceilings import CodecOn
from training.evaluation.memorization.memorization import SearchedCorpora, memorization
from training.evaluation.memorization.training_prompts import play_training_prompts
from training.generation.generate import Generator

NEARLY_ALL = 7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("over", type=Path)
    arguments = parser.parse_args()
    generator, learned = Generator.of(str(arguments.over / "run")), str(arguments.over / "shards")
    with temporary_folder() as folder:
        played = play_training_prompts(generator, [learned], Path(folder), 8)
        corpora = SearchedCorpora((learned,), arguments.corpus)
        found = memorization(
            played, corpora, Path(folder), codec=CodecOn(generator.codec, generator.device)
        ).report
    right = 0
    for clip in found.clips:
        nearest = clip.nearest[0]
        known = clip.is_copy or clip.nearness > (found.yardstick or 0.0)
        right += known and nearest.key == clip.asked_key
        print(
            f"{clip.asked_key}: {'known' if known else 'not known'}, nearest {nearest.key}, "
            f"fingerprint {nearest.agreement:.3f}, levels {nearest.correlation:.3f}, "
            f"likeness {nearest.similarity:.3f}"
        )
    copies = found.held_out.copies if found.held_out else None
    print(f"{right} of {len(found.clips)} found; copies among held-out clips: {copies}")
    if right < NEARLY_ALL or (copies and copies.value):
        raise SystemExit("FAILED")


if __name__ == "__main__":
    main()
