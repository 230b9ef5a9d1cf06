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
    else if (about.review) asked(`part/${name}`).then(waiting.resolve, waiting.reject);
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

  const TOKEN = "X-Obbligato-Token";

  /** Who may ask: what the address holds behind `#`, which is kept for this tab, and shown no more. */
  function token() {
    const given = /^#token=([\w-]+)$/.exec(location.hash);
    if (given) {
      sessionStorage.setItem(TOKEN, given[1]);
      history.replaceState(null, "", "#");
    }
    return sessionStorage.getItem(TOKEN) || "";
  }

  /** A promise of what the review's server answers; what is sent is JSON. */
  async function asked(path, sent) {
    const headers = { [TOKEN]: token() };
    const options = { headers, cache: "no-store", credentials: "omit", redirect: "error" };
    if (sent !== undefined) {
      headers["Content-Type"] = "application/json";
      Object.assign(options, { method: "POST", body: JSON.stringify(sent) });
    }
    let answer;
    try {
      answer = await fetch(`/${path}`, options);
    } catch {
      throw new Error("`obbligato review` has ended: start it again, and open its new address");
    }
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.message);
    return value;
  }

  function receive(name, text) {
    const waiting = arrived.get(name);
    if (waiting) waiting.resolve(JSON.parse(text));
  }

  return { about, load, receive, asked };
})();
const receive = parts.receive; // what scripts beside the page call
