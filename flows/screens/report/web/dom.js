"use strict";

// Elements made of plain text: nothing here, or on this page, reads markup from data.
const dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** An HTML element; `on…` attributes are listeners, children nodes or text. */
  function make(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  /** The same in SVG. */
  function draw(tag, attributes, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
  }

  function byId(id) {
    return document.getElementById(id);
  }

  function setPressed(button, isPressed) {
    button.setAttribute("aria-pressed", String(isPressed));
  }

  /** A number of things: "1 clip", "10,000 clips". */
  function counted(number, what) {
    return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
  }

  return { make, draw, byId, setPressed, counted };
})();
