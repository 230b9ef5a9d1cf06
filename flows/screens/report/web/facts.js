"use strict";

// What the whole build holds, in histograms; and what is not in it, with reasons.
const facts = (() => {
  const { make, byId } = dom;
  const FIRST_ROWS = 400; // of the table, until more is asked for

  function barRow(bar, most) {
    const inner = make("span", {});
    inner.style.width = most > 0 ? `${(100 * bar.value) / most}%` : "0";
    return [
      make("span", { class: "bar-name" }, bar.label),
      make("span", { class: "bar-track" }, inner),
      make("span", { class: "bar-figure" }, bar.figure),
    ];
  }

  function mostOf(bars) {
    return Math.max(...bars.map((bar) => bar.value), 0);
  }

  function chart(title, bars, most = mostOf(bars)) {
    return make(
      "section",
      { class: "chart" },
      make("h3", {}, title),
      make(
        "div",
        { class: "bars" },
        bars.flatMap((bar) => barRow(bar, most)),
      ),
    );
  }

  function keyCharts(pairs) {
    if (!pairs.length) return [];
    const most = mostOf(pairs.flat());
    return [
      chart(
        "major keys, by fifths",
        pairs.map((pair) => pair[0]),
        most,
      ),
      chart(
        "their relative minors",
        pairs.map((pair) => pair[1]),
        most,
      ),
    ];
  }

  async function showStatistics() {
    const view = byId("statistics");
    if (view.childElementCount) return;
    const found = await parts.load("statistics");
    const { name, version } = parts.about;
    view.replaceChildren(
      make("h2", {}, "Statistics ", make("small", {}, `of all samples of ${name}`)),
      make(
        "dl",
        { class: "figures" },
        found.counts.flatMap((line) => [make("dt", {}, line.name), make("dd", {}, line.text)]),
      ),
      make(
        "div",
        { class: "charts" },
        keyCharts(found.keys),
        found.charts.map((one) => chart(one.title, one.bars)),
      ),
      make("p", { class: "soft" }, `Made by Obbligato ${version}`),
    );
  }

  function table(rows) {
    const head = ["outcome", "code", "why", "what", "where", "from"];
    return make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          head.map((name) => make("th", {}, name)),
        ),
      ),
      make(
        "tbody",
        {},
        rows.map((row) =>
          make(
            "tr",
            { class: row.outcome },
            head.map((name) => make("td", { "data-name": name }, row[name])),
          ),
        ),
      ),
    );
  }

  async function showUnused() {
    const view = byId("unused");
    if (view.childElementCount) return;
    const rows = await parts.load("unused");
    const counts = new Map();
    for (const row of rows) counts.set(row.outcome, (counts.get(row.outcome) || 0) + 1);
    const frame = make("div", { class: "wide" });
    const search = make("input", {
      type: "search",
      placeholder: "Rule, reason, file…",
      "aria-label": "Filter by text",
    });
    let outcome = "";
    let most = FIRST_ROWS;

    function paint() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = rows.filter((row) => {
        if (outcome && row.outcome !== outcome) return false;
        const text = Object.values(row).join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      });
      const more = () => {
        most *= 4;
        paint();
      };
      const rest = found.length - most;
      frame.replaceChildren(
        found.length
          ? table(found.slice(0, most))
          : make("p", { class: "empty" }, "Nothing: all was used."),
        rest > 0
          ? make("button", { type: "button", onclick: more }, `${rest.toLocaleString("en")} more`)
          : "",
      );
    }

    function choice(name, text) {
      const choose = (event) => {
        outcome = name;
        for (const one of event.currentTarget.parentElement.querySelectorAll("button"))
          dom.setPressed(one, one === event.currentTarget);
        paint();
      };
      return make(
        "button",
        { type: "button", "aria-pressed": String(name === outcome), onclick: choose },
        text,
      );
    }

    search.addEventListener("input", paint);
    const left = parts.about.unused - rows.length;
    view.replaceChildren(
      make("h2", {}, "Not used ", make("small", {}, "dead, rejected, or not as it should be")),
      left > 0
        ? make(
            "p",
            { class: "soft" },
            `The first ${rows.length.toLocaleString("en")}; obbligato dead ls lists all`,
          )
        : "",
      make(
        "div",
        { class: "choices" },
        search,
        choice("", "all"),
        [...counts].map(([name, count]) => choice(name, `${name} ${count.toLocaleString("en")}`)),
      ),
      frame,
    );
    paint();
  }

  return { showStatistics, showUnused };
})();
