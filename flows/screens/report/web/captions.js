"use strict";

// Captions with their facts marked: green where the label agrees, red where it differs, grey where
// no label decides.
const captions = (() => {
  const SAYS = {
    agrees: "the label agrees",
    differs: "the label differs",
    open: "no label decides",
  };
  const SIGNS = { agrees: "✓", differs: "≠", open: "·" };
  const { make } = dom;

  function meaning(fact) {
    const label = fact.label ? ` (${fact.label})` : "";
    return `${fact.text}: ${SAYS[fact.standing]}${label}`;
  }

  function marked(run, caption) {
    if (run.fact === null) return run.text;
    const fact = caption.facts[run.fact];
    return make("mark", { class: `fact ${fact.standing}`, title: meaning(fact) }, run.text);
  }

  /** Facts that need words of their own: those that differ, and those without a place in the text. */
  function beside(caption) {
    const placed = new Set(caption.runs.map((run) => run.fact));
    const shown = caption.facts.filter(
      (fact, index) => fact.standing === "differs" || !placed.has(index),
    );
    if (!shown.length) return null;
    const items = shown.map((fact) =>
      make("li", { class: fact.standing }, `${SIGNS[fact.standing]} ${meaning(fact)}`),
    );
    return make("ul", { class: "beside" }, items);
  }

  function one(caption) {
    const kind = caption.writer ? `${caption.kind} by ${caption.writer}` : caption.kind;
    return make(
      "div",
      { class: "caption" },
      make("span", { class: "kind" }, kind),
      make(
        "p",
        {},
        caption.runs.map((run) => marked(run, caption)),
      ),
      beside(caption),
    );
  }

  function legend() {
    const parts = Object.keys(SAYS).map((standing) =>
      make(
        "span",
        {},
        make("mark", { class: `fact ${standing}` }, SIGNS[standing]),
        ` ${SAYS[standing]}`,
      ),
    );
    return make("p", { class: "legend" }, parts);
  }

  /** The captions of a sample. */
  function section(sample) {
    if (!sample.captions.length) return make("p", { class: "soft" }, "No caption goes with it.");
    const hasFacts = sample.captions.some((caption) => caption.facts.length);
    return make("div", {}, hasFacts ? legend() : null, sample.captions.map(one));
  }

  return { section };
})();
