"use strict";

// The page's data. A part is a block of this page, or a script beside it that calls `receive`; where
// labels are set right, it comes from the server that the page came from.
const parts = (() => {
  const arrived = new Map(); // name → a promise of the value, and how to keep it

  function embedded(name) {
    const block = document.querySelector(`script[data-part="${CSS.escape(name)}"]`);
    return block ? JSON.parse(block.textContent) : undefined;
  }

  const about = embedded("about");

  /** A promise of a part. What is large is asked for again rather than kept (`keep` false). */
  function load(name, keep = true) {
    if (arrived.has(name)) return arrived.get(name).promise;
    const waiting = {};
    waiting.promise = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }));
    arrived.set(name, waiting);
    const value = embedded(name);
    if (value !== undefined) waiting.resolve(value);
    else if (about.review) ask.server(`part/${name}`).then(waiting.resolve, waiting.reject);
    else fetchScript(name, waiting);
    if (!keep)
      waiting.promise.then(
        () => arrived.delete(name),
        () => arrived.delete(name),
      );
    return waiting.promise;
  }

  function fetchScript(name, waiting) {
    const file = `${about.folder}/${name}.js`;
    const script = dom.make("script", { src: file });
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => {
      script.remove();
      arrived.delete(name);
      waiting.reject(new Error(`${file} is not beside this page: copy the whole folder`));
    });
    document.head.append(script);
  }

  function receive(name, text) {
    const waiting = arrived.get(name);
    if (waiting) waiting.resolve(JSON.parse(text));
  }

  return { about, load, receive };
})();
const receive = parts.receive; // what scripts beside the page call
