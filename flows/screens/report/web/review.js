"use strict";

// Labels set right by whoever listens: each edit goes to the server at once, and what is in force
// then comes back. Corrections are made on a clip's original; its variants get them by the next build.
const review = (() => {
  const { make, byId, counted } = dom;
  const TAPS_END_S = 3; // after the last tap
  const LEAST_TAPS = 4;
  let tell = () => {}; // a line of the page
  let state = null; // of the clip that is shown: what the server said last
  let taps = [];
  let tapped = 0; // the timer that ends tapping

  function say(text) {
    byId("message").classList.remove("done");
    tell(text);
  }

  function clipName() {
    return clip.shown() ? clip.shown().name : "";
  }

  function isOriginal(sample) {
    return clip.shown() && sample === clip.shown().samples[0];
  }

  /** Take what the server says of a clip, and draw it anew. */
  function take(name, answer) {
    if (name !== clipName()) return;
    state = answer;
    const sample = clip.shown().samples[0];
    const { beats_s, numbers, chords, labels } = answer;
    // another object: what was computed of the one before is remembered by it
    const renewed = { ...sample, beats_s, numbers, chords, labels };
    clip.replace(sample, renewed);
    sound.renew(renewed);
  }

  async function edit(value) {
    const name = clipName();
    if (!name) return;
    try {
      take(name, await ask.server(`clip/${name}`, value));
      say(`Kept. ${counted(state.waiting, "song")} to be built anew`);
      byId("message").classList.add("done");
    } catch (error) {
      say(error.message);
    }
  }

  function begin(shown) {
    state = null;
    endTapping(false);
    if (!parts.about.review) return;
    ask.server(`clip/${shown.name}`).then(
      (answer) => take(shown.name, answer),
      (error) => say(error.message),
    );
  }

  // -- tempo and bars

  function tap() {
    if (!state) return;
    if (!sound.isPlaying()) {
      say("play it, then tap t on each beat, from a first beat of a bar on");
      return;
    }
    taps.push(Math.round(1000 * sound.position()) / 1000);
    say(`${taps.length} beats tapped`);
    clearTimeout(tapped);
    tapped = setTimeout(() => endTapping(true), 1000 * TAPS_END_S);
  }

  function endTapping(isMeant) {
    clearTimeout(tapped);
    const found = taps.filter((at, index) => !index || at > taps[index - 1]);
    taps = [];
    if (!isMeant || !found.length) return;
    if (found.length < LEAST_TAPS) say(`tap at least ${LEAST_TAPS} beats`);
    else edit({ kind: "tapped", taps_s: found });
  }

  /** The beat nearest to where it stands is the first of its bar. */
  function oneHere() {
    const sample = clip.shown().samples[0];
    const at = sound.position();
    const away = sample.beats_s.map((beat) => Math.abs(beat - at));
    const nearest = away.indexOf(Math.min(...away));
    if (nearest >= 0) edit({ kind: "one", beat: nearest });
  }

  function button(text, title, onclick, key) {
    return make("button", { type: "button", title, onclick, "data-key": key || text }, text);
  }

  function rhythm() {
    const bars = [2, 3, 4, 5, 6, 7].map((count) => [String(count), `${count} in a bar`]);
    const meter = choice("Beats in a bar", bars, String(state.meter || ""), (value) =>
      edit({ kind: "meter", beats_per_bar: Number(value) }),
    );
    return make(
      "div",
      { class: "tools", role: "group", "aria-label": "Tempo and bars" },
      button("Tap", "While it plays: tap t on each beat, from a one on", tap, "tap"),
      button("×2", "Twice as fast (d)", () => edit({ kind: "doubled" }), "doubled"),
      button("÷2", "Half as fast (D)", () => edit({ kind: "halved" }), "halved"),
      button("1 here", "The beat where it stands is a one (o)", oneHere, "one"),
      meter,
    );
  }

  // -- chords and key

  /** A menu of values and their names; others can be typed where `typed` says what. */
  function choice(label, pairs, now, take_, typed) {
    const options = pairs.map(([value, name]) =>
      make("option", { value, selected: value === now }, name),
    );
    if (!pairs.some(([value]) => value === now))
      options.unshift(make("option", { value: "", selected: true }, "–"));
    if (typed) options.push(make("option", { value: "…" }, `${typed}…`));
    const select = make("select", { "aria-label": label, "data-key": label }, options);
    select.addEventListener("change", () => {
      if (select.value === "…") select.replaceWith(field(label, typed, take_));
      else if (select.value) take_(select.value);
    });
    return select;
  }

  function field(label, placeholder, take_) {
    const input = make("input", { type: "text", "aria-label": label, placeholder, maxlength: 40 });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && input.value.trim()) take_(input.value.trim());
      if (event.key === "Escape") clip.redraw();
    });
    setTimeout(() => input.focus());
    return input;
  }

  function chordHere() {
    const at = sound.position();
    const found = clip
      .shown()
      .samples[0].chords.findIndex((one) => one.start_s <= at + 1e-6 && at < one.end_s);
    return found;
  }

  function harmony() {
    const index = chordHere();
    const pairs = (offered) => offered.map((one) => [one.label, one.name]);
    const key = choice(
      "Key",
      pairs(state.offered.keys),
      state.key,
      (value) => edit({ kind: "key", key: value }),
      "A minor",
    );
    const chord = choice(
      "Chord here",
      pairs(state.offered.chords),
      index < 0 ? "" : state.harte[index],
      (label) => chordHere() >= 0 && edit({ kind: "chord", index: chordHere(), label }),
      "F#m7/C#",
    );
    const split = button(
      "Split",
      "Two chords from here on (s)",
      () => edit({ kind: "split", at_s: sound.position() }),
      "split",
    );
    return make(
      "div",
      { class: "tools", role: "group", "aria-label": "Chords and key" },
      make("label", {}, "Chord here ", chord),
      split,
      make("label", {}, "Key ", key),
    );
  }

  /** Boundaries of chords, to be dragged: each an element that lies over the lanes. */
  function handles(sample, scale, drawn) {
    if (!state || !isOriginal(sample) || drawn.chordsTop === null) return [];
    return sample.chords.slice(1).map((chord, before) => {
      const index = before + 1;
      const node = make("div", {
        class: "handle",
        role: "slider",
        tabindex: "0",
        "aria-label": `Where ${chord.name} begins`,
        "aria-valuenow": chord.start_s.toFixed(2),
        "aria-valuemin": sample.chords[before].start_s.toFixed(2),
        "aria-valuemax": chord.end_s.toFixed(2),
        "data-key": `boundary ${index}`,
      });
      node.style.top = `${drawn.chordsTop}px`;
      node.style.height = `${lanes.CHORDS_PX}px`;
      place(node, chord.start_s * scale);
      drag(node, sample, index, scale);
      return node;
    });
  }

  function place(node, x) {
    node.style.transform = `translateX(${x.toFixed(1)}px)`;
  }

  /** Beats draw a boundary that comes near them; with Alt it stays where it was let go. */
  function snapped(sample, at, isFree) {
    const near = sample.beats_s.filter((beat) => Math.abs(beat - at) < 0.06);
    return isFree || !near.length ? at : near[0];
  }

  function drag(node, sample, index, scale) {
    let from = null;
    const least = sample.chords[index - 1].start_s;
    const most = sample.chords[index].end_s;
    const timeOf = (event) => {
      const moved = sample.chords[index].start_s + (event.clientX - from) / scale;
      return Math.max(least, Math.min(most, snapped(sample, moved, event.altKey)));
    };
    const send = (to_s) => edit({ kind: "boundary", index, to_s: Math.round(1000 * to_s) / 1000 });
    node.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      node.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    node.addEventListener("pointermove", (event) => {
      if (from === null) return;
      event.stopPropagation();
      place(node, timeOf(event) * scale);
    });
    node.addEventListener("pointerup", (event) => {
      event.stopPropagation();
      if (from !== null && event.clientX !== from) send(timeOf(event));
      from = null;
    });
    node.addEventListener("pointercancel", () => {
      from = null;
      place(node, sample.chords[index].start_s * scale);
    });
    node.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      send(Math.max(0, sample.chords[index].start_s + by));
    });
  }

  // -- what is right, what is no music, and what was set right

  function confirm() {
    edit({ kind: "confirmed" });
  }

  function leftOut() {
    const ask = (reason) => edit({ kind: "not_music", reason });
    const reasons = ["speech", "noise", "silence", "broken", "a copy"];
    return make(
      "div",
      { class: "tools" },
      button("All right", "All labels are right as they are (y)", confirm, "confirm"),
      make(
        "label",
        {},
        "Leave out ",
        choice(
          "Leave out",
          reasons.map((reason) => [reason, reason]),
          "",
          ask,
          "why",
        ),
      ),
    );
  }

  const NAMED = { beats: "tempo and bars", chords: "chords", key: "key", not_music: "left out" };

  function setRight() {
    if (!state.set.length) return "";
    const rows = state.set.map((one) => {
      const parts_ = one.part === "beats" ? ["beats", "meter"] : [one.part];
      const why = one.reason ? ` (${one.reason})` : "";
      return make(
        "li",
        {},
        `${NAMED[one.part]}${why}: ${one.who}, ${one.when} `,
        button(
          "Withdraw",
          "What was heard holds again",
          () => edit({ kind: "withdrawn", parts: parts_ }),
          `withdraw ${one.part}`,
        ),
      );
    });
    return make("ul", { class: "set-right" }, rows);
  }

  function below(sample) {
    if (!parts.about.review) return "";
    if (!isOriginal(sample))
      return make(
        "p",
        { class: "soft review" },
        "Set right the original: variants and captions follow by the next build.",
      );
    if (!state) return make("p", { class: "soft review" }, "…");
    return make(
      "section",
      { class: "review", "aria-label": "Set right" },
      rhythm(),
      harmony(),
      leftOut(),
      setRight(),
    );
  }

  function connect(page) {
    tell = page.say;
    clip.add({ begin, below, over: handles });
    Object.assign(page.keys, {
      t: tap,
      d: () => edit({ kind: "doubled" }),
      D: () => edit({ kind: "halved" }),
      o: oneHere,
      y: confirm,
      s: () => edit({ kind: "split", at_s: sound.position() }),
    });
    page.help.push(
      ["t", "tap a tempo while it plays, from a one on"],
      ["d, D", "twice as fast, half as fast"],
      ["o", "the beat where it stands is a one"],
      ["s", "split the chord where it stands"],
      ["y", "all labels are right as they are"],
    );
    byId("order").value = "unsure";
    sound.listen(() => {
      if (!sound.isPlaying() && state) refreshChord();
    });
  }

  /** The menu of chords follows where it stands. */
  function refreshChord() {
    const select = document.querySelector('[data-key="Chord here"]');
    const index = chordHere();
    if (select && select.tagName === "SELECT" && document.activeElement !== select && index >= 0)
      select.value = state.harte[index];
  }

  return { begin: connect };
})();
