"use strict";

// A sample over time: bars and beats, waveform, chords, tempo, dynamics, melody. All lanes share one
// axis of time.
const lanes = (() => {
  const LEAST_PX_PER_S = 34; // so that chord names can be read on a phone; what is wider scrolls
  const WIDEST_PX = 24000;
  const NEAREST_PX = 3; // between beats that are drawn
  const STRIP_PX = 600; // of the longest strip, before it is fitted
  const NUMBER_PX = 24; // between numbers of bars
  const LETTER_PX = 9.5; // about, of a chord's name
  const SPECTRUM_PX = 120; // two pixels a semitone
  const CHORDS_PX = 34;
  const HEAD_PX = 14; // of a lane's own name above it
  const FLOOR_DB = -60;
  const NOTES = ["C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
  const { draw } = dom;

  /** A level in whole dB, with a minus sign. */
  function decibels(level) {
    return `${level.toFixed(0).replace("-", "−")} dB`;
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  }

  /** Pixels a second, if a sample is to fill a width and still be read. */
  function scaleOf(seconds, width, zoom) {
    if (!seconds) return 1;
    const fitting = Math.max(width / seconds, LEAST_PX_PER_S) * zoom;
    return Math.min(fitting, Math.max(WIDEST_PX / seconds, width / seconds));
  }

  /** Numbers of bars at downbeats: the first downbeat begins bar 1. */
  function bars(sample) {
    let bar = 0;
    return sample.numbers.map((number) => (number === 1 ? ++bar : bar));
  }

  function beatPaths(sample, scale, top, bottom) {
    const paths = { beat: "", downbeat: "" };
    let last = -NEAREST_PX;
    sample.beats_s.forEach((time, index) => {
      const x = time * scale;
      if (x - last < NEAREST_PX) return;
      last = x;
      const name = sample.numbers[index] === 1 ? "downbeat" : "beat";
      paths[name] += `M${x.toFixed(1)} ${top}V${bottom}`;
    });
    return Object.entries(paths).map(([name, d]) => draw("path", { class: name, d }));
  }

  function barNumbers(sample, scale, y) {
    const out = [];
    let last = -NUMBER_PX;
    const numbered = bars(sample);
    sample.beats_s.forEach((time, index) => {
      const x = time * scale;
      if (sample.numbers[index] !== 1 || x - last < NUMBER_PX) return;
      last = x;
      out.push(draw("text", { class: "bar", x: x.toFixed(1), y }, String(numbered[index])));
    });
    return out;
  }

  /** Peak and level of the audio, mirrored; the loudest column fills the lane. */
  function wave(sample, scale, top, height) {
    if (!sample.peaks) return [];
    const peaks = bytes(sample.peaks);
    const levels = bytes(sample.levels);
    const most = Math.max(...peaks, 1);
    const middle = top + height / 2;
    const step = (sample.duration_s * scale) / peaks.length;
    const outline = (values, name) => {
      const reach = (value) => Math.max(0.4, ((height / 2) * value) / most);
      let upper = `M0 ${middle}`;
      let lower = "";
      values.forEach((value, index) => {
        const x = ((index + 0.5) * step).toFixed(1);
        upper += `L${x} ${(middle - reach(value)).toFixed(1)}`;
        lower = `L${x} ${(middle + reach(value)).toFixed(1)}${lower}`;
      });
      const end = (sample.duration_s * scale).toFixed(1);
      return draw("path", { class: name, d: `${upper}L${end} ${middle}${lower}Z` });
    };
    return [outline(peaks, "peaks"), outline(levels, "levels")];
  }

  /** A block a chord, of one hue a root; a name that has no room is left out. */
  function chordBlocks(sample, scale, top, height, isNamed) {
    return sample.chords.flatMap((chord) => {
      const left = chord.start_s * scale;
      const width = (chord.end_s - chord.start_s) * scale;
      if (width < 1) return [];
      const block = draw("rect", {
        class: chord.fifth === null ? "chord none" : "chord",
        x: (left + 0.75).toFixed(1),
        y: top,
        width: Math.max(0.5, width - 1.5).toFixed(1),
        height,
        rx: Math.min(5, height / 3),
      });
      if (chord.fifth !== null) block.style.setProperty("--hue", String(hueOf(chord.fifth)));
      const span = `${chord.name}, ${chord.start_s.toFixed(2)}–${chord.end_s.toFixed(2)} s`;
      block.append(draw("title", {}, span));
      if (!isNamed || width < LETTER_PX * chord.name.length + 12) return [block];
      const at = { class: "symbol", x: (left + 7).toFixed(1), y: top + height / 2 + 5 };
      return [block, draw("text", at, chord.name)];
    });
  }

  /** Neighbours on the circle of fifths have neighbouring hues. */
  function hueOf(fifth) {
    return (fifth * 30 + 210) % 360;
  }

  const known = new WeakMap(); // tempi of samples: they are asked for in every frame

  /** Beats per minute from each beat to the next. */
  function tempi(sample) {
    if (known.has(sample)) return known.get(sample);
    const out = [];
    for (let at = 0; at + 1 < sample.beats_s.length; at++) {
      const seconds = sample.beats_s[at + 1] - sample.beats_s[at];
      if (seconds > 0)
        out.push({ at: sample.beats_s[at], to: sample.beats_s[at + 1], bpm: 60 / seconds });
    }
    known.set(sample, out);
    return out;
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : 0;
  }

  function tempoCurve(found, scale, top, height) {
    if (!found.length) return [];
    const middle = median(found.map((one) => one.bpm));
    const inner = found.map((one) => one.bpm).filter((bpm) => bpm > middle / 2 && bpm < middle * 2);
    const reach = Math.max(0.06 * middle, ...inner.map((bpm) => Math.abs(bpm - middle)));
    const yOf = (bpm) => {
      const away = Math.max(-1, Math.min(1, (bpm - middle) / reach));
      return (top + height / 2 - (away * (height - 6)) / 2).toFixed(1);
    };
    let d = "";
    found.forEach((one, index) => {
      const x = (((one.at + one.to) / 2) * scale).toFixed(1);
      d += `${index ? "L" : "M"}${x} ${yOf(one.bpm)}`;
    });
    const [start, end] = [found[0].at, found[found.length - 1].to].map((at) =>
      (at * scale).toFixed(1),
    );
    const line = `M${start} ${yOf(middle)}H${end}`;
    return [draw("path", { class: "guide", d: line }), draw("path", { class: "tempo curve", d })];
  }

  function dynamics(curves, seconds, scale, top, height) {
    const levels = curves.dynamics_db;
    if (!levels.length) return [];
    const end = (seconds * scale).toFixed(1);
    const yOf = (level) => {
      const share = Math.max(0, 1 - Math.max(level, FLOOR_DB) / FLOOR_DB);
      return (top + height - share * height).toFixed(1);
    };
    let d = `M0 ${top + height}V${yOf(levels[0])}`;
    levels.forEach((level, index) => {
      const x = Math.min(seconds, (index + 0.5) / curves.frame_rate_hz) * scale;
      d += `L${x.toFixed(1)} ${yOf(level)}`;
    });
    return [draw("path", { class: "dynamics", d: `${d}H${end}V${top + height}Z` })];
  }

  /** The pitch class that leads, C at the bottom: a stroke from its first frame to its last. */
  function melody(curves, scale, top, height) {
    const step = scale / curves.frame_rate_hz;
    let d = "";
    curves.melody.forEach((pitch, index) => {
      if (pitch > 11) return;
      const y = (top + height - ((pitch + 0.5) * height) / 12).toFixed(1);
      d += `M${(index * step).toFixed(1)} ${y}h${step.toFixed(2)}`;
    });
    return d ? [draw("path", { class: "melody", d })] : [];
  }

  function ticks(length, scale, y) {
    const step = [0.5, 1, 2, 5, 10, 30, 60, 300].find((one) => one * scale >= 58) || 600;
    const out = [];
    for (let at = 0; at <= length + 1e-6; at += step) {
      const place = at * scale > length * scale - 24 ? "end" : at ? "middle" : "start";
      out.push(
        draw(
          "text",
          { class: "second", x: (at * scale).toFixed(1), y, "text-anchor": place },
          `${at} s`,
        ),
      );
    }
    return out;
  }

  /** The lanes that a sample has: each its name, height, and how it is drawn. */
  function lanesOf(sample, hasSpectrum) {
    const found = [];
    const add = (name, note, height, body) =>
      found.push({ name, note, height: height + (name ? HEAD_PX : 0), body });
    const length = sample.duration_s;
    if (sample.peaks) add("", "", 96, (scale, top) => wave(sample, scale, top, 96));
    if (sample.chords.length) {
      const body = (scale, top) => chordBlocks(sample, scale, top, CHORDS_PX, true);
      add("", "", CHORDS_PX, Object.assign(body, { isChords: true }));
    }
    const beats = tempi(sample);
    if (beats.length) {
      const all = beats.map((one) => one.bpm);
      const range = `${Math.round(Math.min(...all))}–${Math.round(Math.max(...all))} BPM`;
      add("tempo, beat by beat", range, 36, (scale, top) => tempoCurve(beats, scale, top, 36));
    }
    if (sample.curves) {
      const { curves } = sample;
      const most = curves.dynamics_db.length ? Math.max(...curves.dynamics_db) : 0;
      add("dynamics", `to ${decibels(most)}`, 36, (scale, top) =>
        dynamics(curves, length, scale, top, 36),
      );
      add("melody, as pitch class", "C to B", 54, (scale, top) => melody(curves, scale, top, 54));
    }
    if (hasSpectrum) add("spectrum, a row a semitone", "C3 to C8", SPECTRUM_PX, () => []);
    return found;
  }

  /**
   * All lanes of a sample as one picture, and the names that stand over it. Room is left for a
   * spectrum, which is a picture of its own, `spectrumTop` px below the top; chords are `chordsTop`
   * px below it.
   */
  function picture(sample, length, scale, hasSpectrum) {
    const RULER = 20;
    const GAP = 10;
    const parts = [];
    const names = [];
    let top = RULER;
    let gridEnd = RULER;
    let chordsTop = null;
    for (const lane of lanesOf(sample, hasSpectrum)) {
      if (lane.body.isChords) chordsTop = top;
      parts.push(...lane.body(scale, lane.name ? top + HEAD_PX : top));
      if (lane.name) names.push({ top, text: lane.name, note: lane.note });
      else gridEnd = top + lane.height;
      top += lane.height + GAP;
    }
    const width = Math.max(1, length * scale);
    const height = top + 14;
    const svg = draw(
      "svg",
      { width: width.toFixed(1), height, class: "lanes", "aria-hidden": "true" },
      beatPaths(sample, scale, RULER - 6, top - GAP + 2).map((path) => {
        path.classList.add("grid");
        return path;
      }),
      parts,
      beatPaths(sample, scale, RULER - 6, gridEnd),
      barNumbers(sample, scale, 10),
      ticks(length, scale, height - 4),
    );
    const spectrumTop = top - GAP - SPECTRUM_PX;
    return { svg, names, spectrumTop, chordsTop };
  }

  /** A sample in one small strip, as wide as its share of `length` s: waveform, beats, chords. */
  function strip(sample, length, height) {
    const CHORDS = 12;
    const scale = STRIP_PX / length;
    const width = Math.max(1, sample.duration_s * scale);
    const svg = draw(
      "svg",
      {
        class: "strip",
        viewBox: `0 0 ${width.toFixed(1)} ${height}`,
        preserveAspectRatio: "none",
        height,
        "aria-hidden": "true",
      },
      wave(sample, scale, 0, height - CHORDS - 3),
      beatPaths(sample, scale, 0, height - CHORDS - 3),
      chordBlocks(sample, scale, height - CHORDS, CHORDS, false),
    );
    svg.style.width = `${Math.min(100, (100 * sample.duration_s) / length)}%`;
    return svg;
  }

  /** What the labels say at a time, in one line. */
  function readout(sample, time) {
    const words = [`${time.toFixed(2)} s`];
    const next = sample.beats_s.findIndex((beat) => beat > time + 1e-6);
    const beat = (next < 0 ? sample.beats_s.length : next) - 1;
    if (beat >= 0) words.push(`bar ${bars(sample)[beat]}, beat ${sample.numbers[beat]}`);
    const chord = sample.chords.find((one) => one.start_s <= time && time < one.end_s);
    if (chord) words.push(chord.name);
    const tempo = tempi(sample).find((one) => one.at <= time && time < one.to);
    if (tempo) words.push(`${tempo.bpm.toFixed(1)} BPM`);
    if (sample.curves) {
      const frame = Math.floor(time * sample.curves.frame_rate_hz);
      const level = sample.curves.dynamics_db[frame];
      if (level !== undefined) words.push(decibels(level));
      const pitch = sample.curves.melody[frame];
      if (pitch < 12) words.push(`melody ${NOTES[pitch]}`);
    }
    return words.join(" · ");
  }

  /** The bar that a time lies in, from its downbeat to the next; none before the first. */
  function barAt(sample, time) {
    const downbeats = sample.beats_s.filter((_, index) => sample.numbers[index] === 1);
    const next = downbeats.findIndex((at) => at > time + 1e-6);
    const start = next < 0 ? downbeats[downbeats.length - 1] : downbeats[next - 1];
    if (start === undefined) return null;
    return { start, end: next < 0 ? sample.duration_s : downbeats[next] };
  }

  return { SPECTRUM_PX, CHORDS_PX, picture, strip, readout, scaleOf, barAt, hueOf };
})();
