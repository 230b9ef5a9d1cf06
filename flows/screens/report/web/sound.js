"use strict";

// What is heard: the audio, a click on each beat, and the chords, as three tracks of equal length
// that start at the same sample of the audio clock. Switching one off turns its gain down.
const sound = (() => {
  const LEVELS = { music: 0.9, clicks: 0.55, chords: 0.5 };
  const CLICK_S = 0.05;
  const BEAT_HZ = 1100;
  const DOWNBEAT_HZ = 1760;
  const CHORD_RATE_HZ = 24000; // enough for three partials of a pad; half the memory
  const FADE_S = 0.02; // of a chord's beginning and end
  const PARTIALS = [1, 0.35, 0.12];
  const LONGEST_S = 1800; // tracks beyond half an hour would fill the memory

  const audible = { music: true, clicks: false, chords: false };
  let context = null;
  let gains = {};
  let sources = [];
  let current = null; // {sample, tracks}
  let offset = 0; // s of the sample at which the clock was `startedAt`
  let startedAt = 0;
  let loop = null; // {start, end} in s
  let isPlaying = false;
  let asked = 0; // counts what is asked for: only the last is played
  const kept = new Map(); // decoded audio of the samples heard last
  const listeners = new Set();

  function span(sample, music) {
    return Math.min(LONGEST_S, Math.max(sample.duration_s, music ? music.duration : 0));
  }

  /** A click on each beat, higher on downbeats: each begins at its beat's own sample. */
  function clickTrack(sample, rate, length) {
    const out = new Float32Array(length);
    sample.beats_s.forEach((beat, index) => {
      const hz = sample.numbers[index] === 1 ? DOWNBEAT_HZ : BEAT_HZ;
      const first = Math.round(beat * rate);
      const last = Math.min(length, first + Math.round(CLICK_S * rate));
      for (let at = first; at < last; at++) {
        const time = (at - first) / rate;
        // a cosine: the first sample is the loudest
        out[at] += Math.exp(-time / 0.009) * Math.cos(2 * Math.PI * hz * time);
      }
    });
    return out;
  }

  /** The chords as soft tones: each note three partials, faded in and out. */
  function chordTrack(sample, rate, length) {
    const out = new Float32Array(length);
    for (const chord of sample.chords) {
      const first = Math.round(chord.start_s * rate);
      const last = Math.min(length, Math.round(chord.end_s * rate));
      for (const note of chord.notes) addTone(out, first, last, rate, note);
    }
    return out;
  }

  function addTone(out, first, last, rate, note) {
    const fade = Math.max(1, Math.min(FADE_S * rate, (last - first) / 2));
    const hz = 440 * 2 ** ((note - 69) / 12);
    PARTIALS.forEach((partial, index) => {
      const step = (2 * Math.PI * hz * (index + 1)) / rate;
      // sin by the recurrence s[n] = 2 cos(step) s[n-1] - s[n-2]: no sine a sample
      const twice = 2 * Math.cos(step);
      let before = -Math.sin(step);
      let now = 0;
      for (let at = first; at < last; at++) {
        const edge = Math.min(1, (at - first) / fade, (last - at) / fade);
        out[at] += 0.11 * partial * edge * now;
        const next = twice * now - before;
        before = now;
        now = next;
      }
    });
  }

  function bufferOf(ctx, samples, rate) {
    const buffer = ctx.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    return buffer;
  }

  /** The three tracks of a sample; `music` is its decoded audio, or none. */
  function tracksOf(ctx, sample, music) {
    const seconds = Math.max(span(sample, music), 0.01);
    const clicks = clickTrack(sample, ctx.sampleRate, Math.ceil(seconds * ctx.sampleRate));
    const chords = chordTrack(sample, CHORD_RATE_HZ, Math.ceil(seconds * CHORD_RATE_HZ));
    return {
      music,
      clicks: bufferOf(ctx, clicks, ctx.sampleRate),
      chords: bufferOf(ctx, chords, CHORD_RATE_HZ),
      seconds,
    };
  }

  /** Connect tracks that start together; gives their sources and gains. */
  function connect(ctx, tracks, when, from, looped, mix) {
    const made = { sources: [], gains: {} };
    for (const name of Object.keys(LEVELS)) {
      const gain = ctx.createGain();
      gain.gain.value = mix[name] ? LEVELS[name] : 0;
      gain.connect(ctx.destination);
      made.gains[name] = gain;
      if (!tracks[name]) continue;
      const source = ctx.createBufferSource();
      source.buffer = tracks[name];
      if (looped)
        Object.assign(source, { loop: true, loopStart: looped.start, loopEnd: looped.end });
      source.connect(gain);
      source.start(when, from);
      made.sources.push(source);
    }
    return made;
  }

  /** What would be heard of a sample, rendered; for tests. `music` may be none. */
  function render(sample, mix, rate = 48000, music = null) {
    const frames = Math.ceil(span(sample, music) * rate);
    const ctx = new OfflineAudioContext(1, frames, rate);
    connect(ctx, tracksOf(ctx, sample, music), 0, 0, null, mix);
    return ctx.startRendering();
  }

  function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    return bytes.buffer;
  }

  async function decode(sample) {
    if (!sample.audio) return null;
    const bytes = bytesOf(await parts.load(sample.audio, false));
    try {
      return await context.decodeAudioData(bytes);
    } catch {
      throw new Error(`This browser cannot decode its audio (.${sample.format})`);
    }
  }

  function nameOf(sample) {
    return `${sample.audio} ${sample.key}`; // others' shards may use a key twice
  }

  async function prepared(sample) {
    const name = nameOf(sample);
    if (!kept.has(name)) {
      const music = await decode(sample);
      if (!sample.duration_s && music) sample.duration_s = music.duration; // not known before
      kept.set(name, tracksOf(context, sample, music));
      if (kept.size > 4) kept.delete(kept.keys().next().value);
    }
    return kept.get(name);
  }

  function tell() {
    for (const listener of listeners) listener();
  }

  function stopSources() {
    for (const source of sources) {
      source.onended = null;
      source.stop();
    }
    sources = [];
  }

  function start() {
    stopSources();
    const from = Math.min(offset, Math.max(0, current.tracks.seconds - 0.001));
    const when = context.currentTime + 0.03;
    const { music, clicks, chords } = current.tracks;
    // all tracks turn back at once: none may end before the loop does
    const least = Math.min(...[music, clicks, chords].filter(Boolean).map((one) => one.duration));
    if (loop) loop = { start: Math.min(loop.start, least - 0.01), end: Math.min(loop.end, least) };
    const made = connect(context, current.tracks, when, from, loop, audible);
    ({ sources, gains } = made);
    startedAt = when;
    offset = from;
    isPlaying = true;
    const longest = sources[sources.length - 1];
    if (longest) longest.onended = ended;
    tell();
  }

  function ended() {
    isPlaying = false;
    offset = 0;
    sources = [];
    tell();
  }

  /** Play a sample from a second on, or from where it stands. Rejects where it cannot be played. */
  async function play(sample, from = null) {
    const mine = ++asked;
    context = context || new AudioContext();
    const tracks = await prepared(sample);
    await context.resume();
    if (mine !== asked) return;
    if (from !== null) offset = from;
    if (loop && (offset < loop.start || offset >= loop.end)) offset = loop.start;
    current = { sample, tracks };
    start();
  }

  /** Clicks and chords anew, of a sample whose labels have changed; it plays on. */
  function renew(sample) {
    const before = kept.get(nameOf(sample));
    if (!before) return;
    kept.set(nameOf(sample), tracksOf(context, sample, before.music));
    if (isPlaying) play(sample, position());
  }

  function pause() {
    asked++;
    if (!isPlaying) return;
    offset = position();
    stopSources();
    isPlaying = false;
    tell();
  }

  /** Where it stands, in s of the sample. */
  function position() {
    if (!isPlaying) return offset;
    const passed = offset + Math.max(0, context.currentTime - startedAt);
    if (!loop || passed < loop.end) return Math.min(passed, current.tracks.seconds);
    return loop.start + ((passed - loop.start) % (loop.end - loop.start));
  }

  function seek(seconds) {
    offset = Math.max(0, seconds);
    if (loop && (offset < loop.start || offset >= loop.end)) loop = null;
    if (isPlaying) start();
    else tell();
  }

  function setLoop(region) {
    const at = position();
    loop = region;
    offset = region && (at < region.start || at >= region.end) ? region.start : at;
    if (isPlaying) start();
    else tell();
  }

  function toggle(name) {
    audible[name] = !audible[name];
    const gain = gains[name];
    // a few ms of fade: no crackle
    if (gain)
      gain.gain.setTargetAtTime(audible[name] ? LEVELS[name] : 0, context.currentTime, 0.004);
    tell();
  }

  return {
    play,
    renew,
    pause,
    seek,
    position,
    toggle,
    setLoop,
    render,
    audible,
    isPlaying: () => isPlaying,
    loop: () => loop,
    /** The decoded audio of a sample that was heard of late; none for others. */
    heard: (sample) => (kept.get(nameOf(sample)) || {}).music || null,
    clock: () => (context ? context.currentTime : 0),
    listen: (listener) => listeners.add(listener),
  };
})();
