"use strict";

// The clips: filtered, ordered, and drawn only where they are in sight.
const list = (() => {
  const { make, byId, counted } = dom;
  const ROW_PX = 68;
  const SPARE = 6; // rows drawn beyond what is in sight
  const MOST_TAGS = 200;

  const all = [];
  let found = [];
  let at = -1; // of those found
  let drawn = new Map(); // index → element
  const opened = new Set();

  function badge(kind, text, title) {
    return make("span", { class: `badge ${kind}`, title }, text);
  }

  function badges(row) {
    const out = [];
    if (row.differs)
      out.push(badge("differs", `≠ ${row.differs}`, "stated facts that the labels deny"));
    if (row.apart > 0.1)
      out.push(
        badge("apart", `↔ ${row.apart.toFixed(2)}`, "how far labels extracted again fall short"),
      );
    if (row.unsure !== null) {
      const title = `the weakest label, ${row.weakest}: chance that it is right`;
      out.push(badge(row.unsure < 0.5 ? "unsure low" : "unsure", row.unsure.toFixed(2), title));
    }
    return out;
  }

  /** The chords over time as one gradient with hard edges: a row has few elements. */
  function chords(row) {
    const out = make("span", { class: "strip", "aria-hidden": "true" });
    const stops = [];
    for (let from = 0; from < row.strip.length;) {
      let to = from + 1;
      while (row.strip[to] === row.strip[from]) to++;
      const hue = lanes.hueOf(row.strip.charCodeAt(from) - 97);
      const colour = row.strip[from] === "-" ? "var(--edge)" : `hsl(${hue} 60% var(--chord-full))`;
      stops.push(`${colour} ${(100 * from) / row.strip.length}% ${(100 * to) / row.strip.length}%`);
      from = to;
    }
    if (stops.length) out.style.backgroundImage = `linear-gradient(90deg, ${stops.join(", ")})`;
    return out;
  }

  function element(row, index) {
    const node = make(
      "div",
      {
        class: "row",
        role: "option",
        id: `row-${index}`,
        "aria-selected": String(index === at),
        "aria-setsize": found.length,
        "aria-posinset": index + 1,
        onclick: () => open(index),
      },
      make("span", { class: "name" }, row.title),
      make("span", { class: "badges" }, badges(row)),
      make("span", { class: "about" }, row.about),
      make("span", { class: "split" }, row.split || ""),
      chords(row),
    );
    node.style.transform = `translateY(${index * ROW_PX}px)`;
    return node;
  }

  /** Draw the rows in sight; those that stay are kept. */
  function paint() {
    const frame = byId("list");
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW_PX) - SPARE);
    const last = Math.min(
      found.length,
      Math.ceil((frame.scrollTop + frame.clientHeight) / ROW_PX) + SPARE,
    );
    for (const [index, node] of drawn) {
      if (index >= first && index < last) continue;
      node.remove();
      drawn.delete(index);
    }
    const fresh = document.createDocumentFragment();
    for (let index = first; index < last; index++) {
      if (drawn.has(index)) continue;
      const node = element(found[index], index);
      drawn.set(index, node);
      fresh.append(node);
    }
    byId("rows").append(fresh);
  }

  const ORDERS = {
    listed: null,
    unsure: (one, other) => (one.all_right ?? 2) - (other.all_right ?? 2),
    apart: (one, other) => other.differs - one.differs || (other.apart ?? -1) - (one.apart ?? -1),
  };

  function matches(row, words, choice) {
    if (choice.split && row.split !== choice.split) return false;
    if (choice.tag && !row.tags.includes(choice.tag)) return false;
    if (choice.differing && !row.differs) return false;
    return words.every((word) => row.lower.includes(word));
  }

  /** Filter and order anew; the open clip stays open where it is still found. */
  function refresh() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const choice = {
      split: byId("split").value,
      tag: byId("tag").value,
      differing: byId("differing").checked,
    };
    const before = found[at];
    found = all.filter((row) => matches(row, words, choice));
    const order = ORDERS[byId("order").value];
    if (order) found.sort(order);
    at = before ? found.indexOf(before) : -1;
    byId("rows").replaceChildren();
    drawn = new Map();
    byId("rows").style.height = `${found.length * ROW_PX}px`;
    const { about } = parts;
    const drawnFrom = about.of > about.clips ? `, drawn from ${about.of.toLocaleString("en")}` : "";
    byId("found").textContent =
      found.length === all.length
        ? `${counted(all.length, "clip")}${drawnFrom}`
        : `${found.length.toLocaleString("en")} of ${counted(all.length, "clip")}`;
    paint();
  }

  /** Add rows as their parts arrive. */
  function add(rows) {
    for (const row of rows) {
      row.lower = row.text.toLowerCase();
      all.push(row);
    }
    offerChoices();
    refresh();
  }

  function offerChoices() {
    const counts = new Map();
    for (const row of all) for (const tag of row.tags) counts.set(tag, (counts.get(tag) || 0) + 1);
    const tags = [...counts].sort(
      (one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1),
    );
    offer(
      "tag",
      "All tags",
      tags.slice(0, MOST_TAGS).map(([tag, count]) => [tag, `${tag} (${count})`]),
    );
    const splits = [...new Set(all.map((row) => row.split).filter(Boolean))];
    offer(
      "split",
      "All splits",
      splits.map((split) => [split, split]),
    );
    byId("split").hidden = splits.length < 2;
    byId("tag").hidden = !tags.length;
  }

  function offer(id, none, pairs) {
    const select = byId(id);
    const { value } = select;
    const options = pairs.map(([key, text]) => make("option", { value: key }, text));
    select.replaceChildren(make("option", { value: "" }, none), ...options);
    select.value = value;
  }

  function scrollTo(index) {
    const frame = byId("list");
    const top = index * ROW_PX;
    if (top < frame.scrollTop) frame.scrollTop = top;
    const below = top + ROW_PX - frame.clientHeight;
    if (below > frame.scrollTop) frame.scrollTop = below;
    paint();
  }

  /** Open a clip of those found. `key` chooses one of its samples. */
  function open(index, key = "") {
    if (index < 0 || index >= found.length) return;
    const before = drawn.get(at);
    if (before) before.setAttribute("aria-selected", "false");
    at = index;
    scrollTo(index);
    const node = drawn.get(index);
    if (node) node.setAttribute("aria-selected", "true");
    byId("list").setAttribute("aria-activedescendant", `row-${index}`);
    for (const tell of opened) tell(found[index], key);
  }

  /** Open the clip of a sample's key; false where it is not among those found. */
  function openKey(key) {
    const index = found.findIndex((row) => key === row.name || key.startsWith(`${row.name}-`));
    if (index < 0) return false;
    open(index, key);
    return true;
  }

  function connect() {
    let waits = false;
    byId("list").addEventListener(
      "scroll",
      () => {
        if (waits) return;
        waits = true;
        requestAnimationFrame(() => {
          waits = false;
          paint();
        });
      },
      { passive: true },
    );
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("input", () => {
      byId("list").scrollTop = 0;
      refresh();
    });
  }

  return {
    add,
    open,
    openKey,
    paint,
    connect,
    step: (by) => open(at < 0 ? 0 : at + by),
    rows: () => all,
    onOpened: (tell) => opened.add(tell),
  };
})();
