"""The listening page in headless Chromium: how fast it opens and scrolls, and how far its clicks
stand from the beats.

    python -m tests.benchmarks.report_page [BUILD] [--clips 200 10000]

For each number of clips a page of so many is made of one composed sample and opened from its file,
twice; then its list is scrolled from top to bottom by 3,000 px a frame. With a build, the click
track of every sample of its page is rendered, and each click is held against its beat.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from flows.screens.report.material import of_build
from flows.screens.report.write import Material, write_report
from pipelines.shards.find import find_shards
from tests.pipelines.shards.shard_samples import RATE_HZ, our_sample, write_shard
from tests.support.chromium import Page, chromium

SCROLL = """new Promise((done) => {
  const list = document.getElementById("list"), times = [];
  let last = performance.now();
  const step = () => {
    const now = performance.now();
    times.push(now - last);
    last = now;
    list.scrollTop += 3000;
    if (times.length < 200) requestAnimationFrame(step);
    else done(times.sort((one, other) => one - other));
  };
  requestAnimationFrame(step);
})"""
# every click that begins after 30 ms of silence, beside the beats that the labels state
CLICKS = """(async () => {
  const out = { samples: 0, clicks: 0, missed: 0, worst_ms: 0 };
  for (const row of list.rows()) {
    const page = await parts.load(`clips/${String(row.page).padStart(5, "0")}`);
    for (const sample of page[row.place].samples) {
      const mix = { music: false, clicks: true, chords: false };
      const track = await sound.render(sample, mix, 44100);
      const found = [];
      let quiet = Infinity;
      track.getChannelData(0).forEach((value, at) => {
        if (Math.abs(value) <= 0.1) return quiet++;
        if (quiet > 0.03 * 44100) found.push(at / 44100);
        quiet = 0;
      });
      const beats = sample.beats_s.filter((beat) => beat < sample.duration_s - 0.001);
      out.samples++;
      if (beats.length !== found.length) out.missed++;
      else beats.forEach((beat, at) => {
        out.clicks++;
        out.worst_ms = Math.max(out.worst_ms, 1000 * Math.abs(beat - found[at]));
      });
    }
  }
  return out;
})()"""


def written(material: Material, out: Path) -> str:
    write_report(material, out, 0, lambda _what, _total: lambda _done: None)
    return f"file://{out}/index.html"


def many_clips(folder: Path, clips: int) -> Material:
    """So many clips with the labels of one sample, and hardly any audio."""
    audio = io.BytesIO()
    soundfile.write(audio, np.zeros(800), RATE_HZ, format="FLAC")
    members: list[tuple[str, bytes]] = []
    for number in range(clips):
        clip = f"{number:016x}-0-2000"
        sample = our_sample(key=f"{clip}-orig", clip_key=clip, song_id=f"{number:016x}")
        members += [
            (f"{sample.key}.flac", audio.getvalue()),
            (f"{sample.key}.json", sample.model_dump_json().encode()),
        ]
    shard = write_shard(folder / "train-00000.tar", members)
    return Material(name="many", version="0", found=find_shards(str(shard)))


def cpu_ms(page: Page) -> float:
    """What the page's own thread has worked, in ms: other work on the machine does not count."""
    metrics = page.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def measure(page: Page, address: str, clips: int) -> None:
    for _ in range(2):
        page.send("Page.navigate", url="about:blank")
        began = cpu_ms(page)
        page.open(address)
        page.wait_for("document.querySelector('.lanes')")
        wall_ms, worked_ms = page.value("performance.now()"), cpu_ms(page) - began
        print(f"{clips:,} clips: open, all rows in, in {wall_ms:.0f} ms, {worked_ms:.0f} of work")
    began = cpu_ms(page)
    frames = page.value(SCROLL)
    print(
        f"{clips:,} clips: a frame of scrolling takes {frames[len(frames) // 2]:.1f} ms (median), "
        f"{(cpu_ms(page) - began) / len(frames):.1f} of work",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", nargs="?")
    parser.add_argument("--clips", type=int, nargs="*", default=[200, 10_000])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, chromium(Path(name) / "profile") as page:
        folder = Path(name)
        page.size(1300, 900)
        page.send("Performance.enable", timeDomain="threadTicks")
        for clips in chosen.clips:
            began = time.perf_counter()
            address = written(many_clips(folder / str(clips), clips), folder / f"page{clips}")
            print(f"{clips:,} clips: written in {time.perf_counter() - began:.1f} s")
            measure(page, address, clips)
        if chosen.build:
            page.open(written(of_build(chosen.build, "0"), folder / "page"))
            found = page.value(CLICKS)
            print(
                f"{found['clicks']:,} clicks of {found['samples']:,} samples: furthest from its "
                f"beat {found['worst_ms']:.3f} ms; {found['missed']} samples with another count"
            )


if __name__ == "__main__":
    main()
