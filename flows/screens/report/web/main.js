"use strict";

// The page as a whole: what is in view, keys, the transport, and the address of what is shown.
(() => {
  const { byId, make, setPressed, counted } = dom;
  const KEYS = [
    ["j, k", "next clip, previous clip"],
    ["v, V", "next variant, previous variant"],
    ["space", "play, pause"],
    ["← →", "a beat back, a beat on; with Shift a bar"],
    ["c", "clicks on beats"],
    ["h", "chords"],
    ["m", "the audio itself"],
    ["l", "loop the selection (drag over the lanes), or this bar"],
    ["+ −", "zoom"],
    ["/", "filter"],
    ["1 2 3", "clips, statistics, not used"],
    ["Esc", "leave the filter; end the loop"],
    ["?", "these keys"],
  ];
  const BADGES = [
    ["0.95", "the weakest label: the chance that it is right"],
    ["≠ 2", "stated facts that the labels deny, over all variants"],
    ["↔ 0.14", "how far labels that were extracted once more fall short of these"],
  ];
  const NOT_HERE = "The clip of this address is not on this page, or filtered out";
  const { about } = parts; // where it says `review`, labels are set right here (review.js)
  let latest = null; // the row that was opened last

  function say(text) {
    byId("message").textContent = text;
  }

  function showView(name) {
    for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== name;
    for (const button of document.querySelectorAll("[data-view]"))
      setPressed(button, button.dataset.view === name);
    document.body.dataset.view = name;
    const filled = { statistics: facts.showStatistics, unused: facts.showUnused }[name];
    if (filled) filled().catch((error) => say(error.message));
    if (name === "clips") {
      list.paint();
      clip.redraw();
    }
  }

  // -- the transport

  let frame = 0; // asked for, that moves the playhead

  function tick() {
    cancelAnimationFrame(frame);
    clip.follow();
    paintClock();
    if (sound.isPlaying()) frame = requestAnimationFrame(tick);
  }

  function paintClock() {
    const sample = clip.sample();
    const length = sample ? sample.duration_s : 0;
    byId("clock").textContent = `${sound.position().toFixed(1)} / ${length.toFixed(1)} s`;
  }

  function paintTransport() {
    const button = byId("play");
    setPressed(button, sound.isPlaying());
    button.setAttribute("aria-label", sound.isPlaying() ? "Pause (space)" : "Play (space)");
    for (const one of document.querySelectorAll("[data-switch]"))
      setPressed(one, sound.audible[one.dataset.switch]);
    setPressed(byId("loop"), Boolean(sound.loop()));
    if (clip.sample()) clip.paintRegion(sound.loop());
    tick();
  }

  async function play() {
    const sample = clip.sample();
    if (!sample) return;
    say(sample.audio ? "" : "No audio goes with it");
    if (!sample.audio && !sample.duration_s) return;
    try {
      await sound.play(sample);
      clip.heard();
    } catch (error) {
      say(error.message);
    }
  }

  function playOrPause() {
    if (sound.isPlaying()) sound.pause();
    else play();
  }

  function toggleLoop() {
    const sample = clip.sample();
    if (!sample) return;
    sound.setLoop(sound.loop() ? null : lanes.barAt(sample, sound.position()));
  }

  /** Move by beats: to the next of these times after where it stands, or the last before. */
  function moveBy(direction, byBar) {
    const sample = clip.sample();
    if (!sample) return;
    const times = sample.beats_s.filter((_, index) => !byBar || sample.numbers[index] === 1);
    const at = sound.position();
    const later = times.filter((time) => time > at + 0.02);
    const earlier = times.filter((time) => time < at - 0.15);
    const to = direction > 0 ? later[0] : earlier[earlier.length - 1];
    sound.seek(to === undefined ? (direction > 0 ? at : 0) : to);
  }

  // -- addresses: #clip=KEY, #view=NAME

  function address(text) {
    history.replaceState(null, "", `#${text}`);
  }

  function addressOfSample() {
    const sample = clip.sample();
    if (sample && document.body.dataset.view === "clips")
      address(`clip=${encodeURIComponent(sample.key)}`);
  }

  function wanted() {
    const [name, value = ""] = location.hash.slice(1).split("=");
    try {
      return { name, value: decodeURIComponent(value) };
    } catch {
      return { name: "", value: "" };
    }
  }

  function goTo() {
    const { name, value } = wanted();
    if (name === "view" && ["clips", "statistics", "unused"].includes(value)) showView(value);
    if (name !== "clip") return false;
    showView("clips");
    return list.openKey(value);
  }

  // -- keys

  const HANDLERS = {
    j: () => list.step(1),
    k: () => list.step(-1),
    v: () => clip.step(1),
    V: () => clip.step(-1),
    " ": playOrPause,
    c: () => sound.toggle("clicks"),
    h: () => sound.toggle("chords"),
    m: () => sound.toggle("music"),
    l: toggleLoop,
    "+": () => clip.zoomBy(2),
    "-": () => clip.zoomBy(0.5),
    ArrowRight: (event) => moveBy(1, event.shiftKey),
    ArrowLeft: (event) => moveBy(-1, event.shiftKey),
    ArrowDown: (event) => inList(event) && list.step(1),
    ArrowUp: (event) => inList(event) && list.step(-1),
    "/": () => byId("search").focus(),
    1: () => showView("clips"),
    2: () => showView("statistics"),
    3: () => showView("unused"),
    Escape: () => sound.setLoop(null),
    "?": () => byId("help").showModal(),
  };

  function inList(event) {
    return event.target.id === "list";
  }

  function onKey(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (target.matches("input, select, textarea")) {
      if (key === "Escape" || (key === "Enter" && target.type === "search")) target.blur();
      return;
    }
    // a button that was reached by keyboard is pressed by the space bar, as everywhere
    if (key === " " && target.matches("button:focus-visible")) return;
    const handle = HANDLERS[key];
    if (handle && handle(event) !== false) event.preventDefault();
  }

  // -- beginning

  function fillHelp() {
    const rows = (pairs) =>
      pairs.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]);
    const close = make("button", { type: "button", onclick: () => byId("help").close() }, "Close");
    byId("help").append(
      make("h2", {}, "Keys"),
      make("dl", { class: "keys" }, rows(KEYS)),
      make("h3", {}, "In the list"),
      make("dl", { class: "keys" }, rows(BADGES)),
      close,
    );
  }

  function connect() {
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => {
        showView(button.dataset.view);
        address(`view=${button.dataset.view}`);
      });
    }
    for (const button of document.querySelectorAll("[data-switch]")) {
      button.addEventListener("click", () => sound.toggle(button.dataset.switch));
    }
    byId("play").addEventListener("click", playOrPause);
    byId("previous").addEventListener("click", () => list.step(-1));
    byId("next").addEventListener("click", () => list.step(1));
    byId("loop").addEventListener("click", toggleLoop);
    byId("back").addEventListener("click", () => {
      document.body.classList.remove("one");
      list.paint();
    });
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", () => {
      if (wanted().name === "clip" && !goTo()) say(NOT_HERE);
      else goTo();
    });
    let width = 0;
    new ResizeObserver(() => {
      list.paint();
      if (byId("clip").clientWidth === width) return;
      width = byId("clip").clientWidth;
      clip.redraw();
    }).observe(byId("clip"));
    sound.listen(paintTransport);
    list.onOpened((row, key) => open(row, key).catch((error) => say(error.message)));
    clip.onChosen((goesOn) => {
      addressOfSample();
      if (goesOn) play();
    });
    list.connect();
    fillHelp();
  }

  let lastPage = { number: -1, clips: [] };

  /** The clips of a part. Only the last is kept: all of a large build would fill the memory. */
  async function pageOf(number) {
    if (lastPage.number !== number) {
      const clips = await parts.load(`clips/${String(number).padStart(5, "0")}`, false);
      lastPage = { number, clips };
    }
    return lastPage.clips;
  }

  async function open(row, key) {
    latest = row;
    document.body.classList.add("one");
    const page = await pageOf(row.page);
    if (latest !== row) return; // another was opened meanwhile
    clip.show(page[row.place], key);
    say("");
    addressOfSample();
    paintTransport();
  }

  async function begin() {
    if (about.review) Object.assign(about, await parts.load("contents"));
    byId("name").textContent = about.name;
    document.title = `${about.name}: ${about.review ? "review" : "report"}`;
    byId("counts").textContent =
      `${counted(about.clips, "clip")} · ${counted(about.samples, "sample")}`;
    byId("unused-count").textContent = about.unused ? about.unused.toLocaleString("en") : "";
    if (about.review) review.begin({ say, keys: HANDLERS, help: KEYS });
    connect();
    const isWide = matchMedia("(min-width: 800px)").matches;
    let isShown = false;
    for (let number = 0; number < about.rows; number++) {
      list.add(await parts.load(`rows/${String(number).padStart(4, "0")}`));
      const isOfClip = wanted().name === "clip";
      if (!isShown && (isOfClip || !number)) isShown = goTo();
      if (!number && !isOfClip && isWide) list.open(0);
    }
    if (wanted().name === "clip" && !isShown) say(NOT_HERE);
    if (!about.clips)
      byId("clip").replaceChildren(make("p", { class: "empty" }, "No clip can be shown."));
    document.body.dataset.ready = "true";
  }

  document.body.dataset.view = "clips";
  begin().catch((error) => {
    say(error.message);
    byId("found").textContent = error.message; // a phone has no transport in view yet
  });
})();
