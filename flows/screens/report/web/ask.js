"use strict";

// Asking the server that the page came from, where labels are set right; no other page has this.
const ask = (() => {
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
  async function server(path, sent) {
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

  return { server };
})();
