"use strict";

// One clip: its labels, the lanes of the sample that is chosen, captions, and all its samples
// beside each other.
const clip = (() => {
  const { make, byId } = dom;
  const CLICK_PX = 5; // a pointer that moves less has clicked
  const STRIP_PX = 46;
  const LEAST_LOOP_S = 0.1;
  const MOST_ZOOM = 16;
  const NOT_DRAWN = "No audio that could be drawn goes with it.";

  let shown = null; // the clip
  let sample = null; // of it, that is heard
  let zoom = 1;
  let scale = 1;
  let view = {}; // elements that follow the time
  let drawnMusic = null; // whose spectrum is drawn
  let pulled = null; // where a selection began
  const chosen = new Set(); // who is told that another sample was chosen
  const added = []; // what else is drawn of a sample: below its labels, and over its lanes

  /** The longest of a clip's samples, in s: all strips have one axis. */
  function longest() {
    return Math.max(...shown.samples.map((one) => one.duration_s), 0.01);
  }

  function bar(confidence) {
    const inner = make("span", {
      class: confidence < 0.5 ? "low" : confidence < 0.8 ? "fair" : "high",
    });
    inner.style.width = `${Math.round(100 * confidence)}%`;
    return make("span", { class: "confidence" }, inner);
  }

  function labelCard(label) {
    const title = `${label.origin}; chance that it is right: ${label.confidence.toFixed(2)}`;
    return make(
      "div",
      { class: "label", "data-about": label.about, title },
      make("span", { class: "value" }, label.value || "–"),
      make("span", { class: "name" }, `${label.about} · ${label.confidence.toFixed(2)}`),
      bar(label.confidence),
    );
  }

  function heading() {
    const change = sample.change && sample.change !== "original" ? sample.change : "";
    return make(
      "header",
      { class: "heading" },
      make("div", {}, make("h2", {}, shown.title), make("p", { class: "soft" }, shown.about)),
      change ? make("p", { class: "change" }, change) : null,
    );
  }

  function timeAt(event) {
    const left = view.stage.getBoundingClientRect().left;
    return Math.max(0, Math.min((event.clientX - left) / scale, sample.duration_s));
  }

  function onDown(event) {
    if (event.button === 0) pulled = { x: event.clientX, time: timeAt(event), id: event.pointerId };
  }

  function onMove(event) {
    view.readout.textContent = lanes.readout(sample, timeAt(event));
    // a finger that moves scrolls; a mouse selects
    if (!pulled || event.pointerType === "touch" || Math.abs(event.clientX - pulled.x) < CLICK_PX)
      return;
    view.stage.setPointerCapture(pulled.id);
    paintRegion(ordered(pulled.time, timeAt(event)));
  }

  function onUp(event) {
    if (!pulled) return;
    const from = pulled;
    pulled = null;
    if (Math.abs(event.clientX - from.x) < CLICK_PX) {
      sound.seek(timeAt(event));
      return;
    }
    const region = ordered(from.time, timeAt(event));
    sound.setLoop(region.end - region.start < LEAST_LOOP_S ? null : region);
  }

  function ordered(one, other) {
    return { start: Math.min(one, other), end: Math.max(one, other) };
  }

  function paintRegion(region) {
    if (!view.region) return;
    view.region.hidden = !region;
    if (!region) return;
    view.region.style.left = `${region.start * scale}px`;
    view.region.style.width = `${(region.end - region.start) * scale}px`;
  }

  function spectrumAt(top, music) {
    const canvas = spectrum.picture(music, getComputedStyle(byId("clip")).color);
    canvas.style.top = `${top}px`;
    canvas.style.width = `${sample.duration_s * scale}px`;
    canvas.style.height = `${lanes.SPECTRUM_PX}px`;
    return canvas;
  }

  /** Draw what can be drawn once the audio was decoded. */
  function heard() {
    if (sample && sound.heard(sample) !== drawnMusic) redraw();
  }

  /** The lanes, which scroll where they are wider than their frame. */
  function stage(width) {
    scale = lanes.scaleOf(longest(), width, zoom);
    const music = sound.heard(sample);
    drawnMusic = music;
    const drawn = lanes.picture(sample, sample.duration_s, scale, Boolean(music));
    const { svg, names } = drawn;
    view.playhead = make("div", { class: "playhead" });
    view.region = make("div", { class: "region", hidden: true });
    view.stage = make(
      "div",
      {
        class: "stage",
        onpointerdown: onDown,
        onpointermove: onMove,
        onpointerup: onUp,
        onpointercancel: () => (pulled = null),
        onpointerleave: () => follow(),
      },
      svg,
      music ? spectrumAt(drawn.spectrumTop, music) : null,
      view.region,
      view.playhead,
      added.flatMap((one) => one.over(sample, scale, drawn)),
    );
    view.scroller = make("div", { class: "scroller", tabindex: "-1" }, view.stage);
    const over = names.map((name) => {
      const text = make("span", { class: "lane" }, name.text, make("span", {}, name.note));
      text.style.top = `${name.top}px`;
      return text;
    });
    return make("div", { class: "frame" }, view.scroller, over);
  }

  function strips() {
    if (shown.samples.length < 2) return "";
    const rows = shown.samples.map((one) => {
      const value = (about) =>
        (one.labels.find((label) => label.about === about) || {}).value || "";
      const said = [value("key"), value("tempo")].filter(Boolean).join(" · ");
      return make(
        "button",
        {
          type: "button",
          class: "variant",
          "aria-pressed": String(one === sample),
          "data-key": one.key,
          onclick: () => choose(one),
        },
        make(
          "span",
          { class: "what" },
          one.change || one.key,
          make("span", { class: "soft" }, said),
        ),
        lanes.strip(one, longest(), STRIP_PX),
      );
    });
    return make(
      "section",
      {},
      make(
        "h3",
        {},
        "Original and variants ",
        make("small", {}, "labels moved with the audio (v, V)"),
      ),
      make("div", { class: "variants" }, rows),
    );
  }

  /** Where labels are from: those that share it together. */
  function origins() {
    const found = new Map();
    for (const label of sample.labels) {
      found.set(label.origin, [...(found.get(label.origin) || []), label.about]);
    }
    return [...found].map(([origin, names]) => ({
      name: "labels",
      value: `${names.join(", ")}: ${origin}`,
    }));
  }

  function figures() {
    const again = sample.heard_again.map((one) => `${one.name} ${one.value}`).join(" · ");
    const rows = [
      ...(again ? [{ name: "heard again", value: `agreement: ${again}` }] : []),
      ...sample.figures,
      ...origins(),
    ];
    return make(
      "dl",
      { class: "figures" },
      rows.flatMap((one) => [make("dt", {}, one.name), make("dd", {}, one.value)]),
    );
  }

  /** Draw the chosen sample anew, at the frame's width. */
  function redraw() {
    const frame = byId("clip");
    if (!shown || !frame.clientWidth) return; // nothing to draw, or not in sight
    const focused = document.activeElement.dataset.key;
    const inner = frame.clientWidth - 2 * parseFloat(getComputedStyle(frame).paddingLeft);
    const width = Math.max(200, inner - 2);
    const at = view.scroller ? view.scroller.scrollLeft : 0;
    view = { readout: make("output", { class: "readout", "aria-live": "off" }) };
    frame.replaceChildren(
      heading(),
      sample.labels.length ? make("div", { class: "labels" }, sample.labels.map(labelCard)) : "",
      ...added.map((one) => one.below(sample)),
      sample.duration_s ? make("div", { class: "over" }, view.readout, zoomButtons()) : "",
      sample.duration_s ? stage(width) : make("p", { class: "soft" }, NOT_DRAWN),
      make("section", {}, make("h3", {}, "Captions"), captions.section(sample)),
      strips(),
      make("section", {}, make("h3", {}, "Details"), figures()),
    );
    if (view.scroller) view.scroller.scrollLeft = at;
    const again = focused && frame.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus({ preventScroll: true });
    paintRegion(sound.loop());
    follow();
  }

  function zoomBy(factor) {
    zoom = Math.max(1, Math.min(MOST_ZOOM, zoom * factor));
    redraw();
  }

  function zoomButtons() {
    return make(
      "span",
      { class: "zoom" },
      make(
        "button",
        {
          type: "button",
          title: "Less of it in more room (+)",
          "aria-label": "Zoom in",
          "data-key": "zoom in",
          onclick: () => zoomBy(2),
        },
        "+",
      ),
      make(
        "button",
        {
          type: "button",
          title: "More of it in less room (−)",
          "aria-label": "Zoom out",
          "data-key": "zoom out",
          onclick: () => zoomBy(0.5),
        },
        "−",
      ),
    );
  }

  /** Put the playhead where the sound is, and keep it in sight. */
  function follow() {
    if (!view.playhead) return;
    const time = Math.min(sound.position(), sample.duration_s || Infinity);
    const x = time * scale;
    view.playhead.style.transform = `translateX(${x}px)`;
    if (!view.stage.matches(":hover") || sound.isPlaying())
      view.readout.textContent = lanes.readout(sample, time);
    if (!sound.isPlaying()) return;
    const { scrollLeft, clientWidth, scrollWidth } = view.scroller;
    if (scrollWidth > clientWidth && (x < scrollLeft || x > scrollLeft + clientWidth - 40)) {
      view.scroller.scrollLeft = x - 40;
    }
  }

  /** Choose another sample of the clip: it goes on at the same place of the music. */
  function choose(other) {
    if (other === sample) return;
    const wasPlaying = sound.isPlaying();
    const at = (sound.position() * sample.speed) / other.speed;
    sound.pause();
    sound.setLoop(null);
    sound.seek(at);
    sample = other;
    redraw();
    for (const tell of chosen) tell(wasPlaying);
  }

  /** Show a clip, by default its first sample. */
  function show(other, key = "") {
    sound.pause();
    sound.setLoop(null);
    sound.seek(0);
    shown = other;
    zoom = 1;
    sample = other.samples.find((one) => one.key === key) || other.samples[0];
    view = {};
    for (const one of added) one.begin(shown);
    redraw();
    byId("clip").scrollTop = 0;
  }

  /** Draw another state of a sample in its place. */
  function replace(before, after) {
    shown.samples[shown.samples.indexOf(before)] = after;
    if (sample === before) sample = after;
    redraw();
  }

  /** The next sample of the clip, or the one before. */
  function step(by) {
    if (!shown) return;
    const count = shown.samples.length;
    choose(shown.samples[(shown.samples.indexOf(sample) + by + count) % count]);
  }

  return {
    show,
    step,
    redraw,
    heard,
    follow,
    paintRegion,
    sample: () => sample,
    zoomBy,
    onChosen: (tell) => chosen.add(tell),
    replace,
    add: (one) => added.push(one),
    shown: () => shown,
  };
})();
