"use strict";

// What sounds at which pitch: a spectrum over time, a row a semitone, of audio that was decoded.
const spectrum = (() => {
  const RATE_HZ = 12000; // about; reaches past the highest row
  const SIZE = 1024; // of a transform: 85 ms
  const LOWEST_HZ = 130.8; // C3
  const ROWS = 60; // to C8
  const MOST_COLUMNS = 800;
  const FLOOR_DB = -54; // below the loudest
  const COLUMNS_PER_S = 50;
  const kept = new WeakMap(); // levels of what was analysed
  const turns = Float32Array.from({ length: SIZE / 2 }, (_, at) => (-2 * Math.PI * at) / SIZE);
  const cosines = turns.map(Math.cos);
  const sines = turns.map(Math.sin);
  const hann = Float32Array.from(
    { length: SIZE },
    (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / SIZE),
  );

  /** One channel at a lower rate, each sample the mean of those it stands for. */
  function thinned(buffer) {
    const factor = Math.max(1, Math.floor(buffer.sampleRate / RATE_HZ));
    const out = new Float32Array(Math.floor(buffer.length / factor));
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const data = buffer.getChannelData(channel);
      for (let at = 0; at < out.length; at++) {
        for (let inner = 0; inner < factor; inner++) out[at] += data[at * factor + inner];
      }
    }
    return { wave: out, rate: buffer.sampleRate / factor };
  }

  /** The power in each bin of a real signal in `re`; `im` is all zero before (radix 2). */
  function transform(re, im) {
    for (let at = 1, to = 0; at < SIZE; at++) {
      let bit = SIZE >> 1;
      for (; to & bit; bit >>= 1) to ^= bit;
      to ^= bit;
      if (at < to) [re[at], re[to]] = [re[to], re[at]];
    }
    for (let half = 1; half < SIZE; half *= 2) {
      for (let turn = 0; turn < half; turn++) {
        const cos = cosines[(turn * SIZE) / (2 * half)];
        const sin = sines[(turn * SIZE) / (2 * half)];
        for (let one = turn; one < SIZE; one += 2 * half) {
          const other = one + half;
          const real = re[other] * cos - im[other] * sin;
          const imaginary = re[other] * sin + im[other] * cos;
          re[other] = re[one] - real;
          im[other] = im[one] - imaginary;
          re[one] += real;
          im[one] += imaginary;
        }
      }
    }
  }

  /** The first bin of each row, and the one after its last. */
  function binsOf(rate) {
    const edge = (row) => Math.round((LOWEST_HZ * 2 ** ((row - 0.5) / 12) * SIZE) / rate);
    return Array.from({ length: ROWS }, (_, row) => {
      const from = edge(row);
      return { from, to: Math.min(SIZE / 2, Math.max(from + 1, edge(row + 1))) };
    });
  }

  /** Power by column and row, the lowest pitch first. */
  function powers(wave, rate, columns) {
    const bins = binsOf(rate);
    const out = new Float32Array(columns * ROWS);
    const re = new Float32Array(SIZE);
    const im = new Float32Array(SIZE);
    for (let column = 0; column < columns; column++) {
      const first = Math.round(((column + 0.5) * wave.length) / columns - SIZE / 2);
      for (let at = 0; at < SIZE; at++) {
        re[at] = (wave[first + at] || 0) * hann[at];
        im[at] = 0;
      }
      transform(re, im);
      for (let row = 0; row < ROWS; row++) {
        let most = 0;
        for (let bin = bins[row].from; bin < bins[row].to; bin++) {
          most = Math.max(most, re[bin] * re[bin] + im[bin] * im[bin]);
        }
        out[column * ROWS + row] = most;
      }
    }
    return out;
  }

  function levels(buffer) {
    if (!kept.has(buffer)) {
      const { wave, rate } = thinned(buffer);
      const columns = Math.max(
        1,
        Math.min(MOST_COLUMNS, Math.round(buffer.duration * COLUMNS_PER_S)),
      );
      kept.set(buffer, { columns, power: powers(wave, rate, columns) });
    }
    return kept.get(buffer);
  }

  /** The picture, in the colour that text has where it is to stand. */
  function picture(buffer, colour) {
    const { columns, power } = levels(buffer);
    const canvas = dom.make("canvas", { width: columns, height: ROWS, "aria-hidden": "true" });
    const ctx = canvas.getContext("2d");
    ctx.fillStyle = colour;
    ctx.fillRect(0, 0, columns, ROWS);
    const image = ctx.getImageData(0, 0, columns, ROWS);
    const top = power.reduce((most, value) => Math.max(most, value), 1e-12);
    for (let column = 0; column < columns; column++) {
      for (let row = 0; row < ROWS; row++) {
        const db = 10 * Math.log10(power[column * ROWS + row] / top + 1e-12);
        const at = (ROWS - 1 - row) * columns + column;
        image.data[4 * at + 3] = Math.round(255 * Math.max(0, 1 - db / FLOOR_DB) ** 1.4);
      }
    }
    ctx.putImageData(image, 0, 0);
    return canvas;
  }

  return { picture, ROWS };
})();
