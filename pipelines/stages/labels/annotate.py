"""Stage *annotate*: beats, meter, tempo, chords and key of each clip, with confidence, tool,
version and licence.
"""

from typing import Final

from pipelines.annotators.windows import AnnotateWindow, annotate_windows, tools
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from schemas.labels import Annotation


def annotate_bucket(job: Job) -> Done:
    """Annotate a bucket's clips, each over its extended window; those that cannot be are dead."""
    found: list[Annotation] = []
    dead: list[tuple[str, Death]] = []
    bucket_clips = CLIPS.read(job)
    with bucket.local_files(job) as local, bucket.child(job.recipe.limits) as child:
        for batch in bucket.batches(bucket_clips, job.recipe.annotate.batch):
            windows = [
                AnnotateWindow(clip.clip_key, local(clip.source), clip.start_s, clip.extended_end_s)
                for clip in batch
            ]
            results = child.run(annotate_windows, windows, job.recipe.annotate)
            for clip, result in zip(batch, results, strict=True):
                if isinstance(result, Death):
                    dead.append((clip.clip_key, result))
                else:
                    found.append(result)
            bucket.progress(len(batch))
    files = [ANNOTATIONS.write(job, found), *bucket.write_dead(job, ANNOTATIONS, dead)]
    return Done(files, {"clips": len(bucket_clips), "annotated": len(found), "dead": len(dead)})


STAGE: Final = Stage(
    name="annotate",
    version=8,
    reads=(CLIPS,),
    writes=(ANNOTATIONS,),
    knobs=("annotate",),
    run=annotate_bucket,
    tools=tools,
)
