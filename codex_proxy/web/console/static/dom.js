// DOM nodes without HTML strings: data from a server is only ever inserted as text.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Create an element. Members of `props` that begin with "on" are listeners, the rest are attributes; true is an empty attribute.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, ...children);
  return node;
}

/** @param {Node} parent @param {...Child} children */
export function add(parent, ...children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Create a button. @param {string} kind its class @param {() => unknown} act @param {...Child} children */
export function button(kind, act, ...children) {
  return h("button", {type: "button", class: kind || null, onclick: () => void act()}, ...children);
}

/** Set a node's text, unless it is the same already. @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @template {Element} T @param {string} id @param {new () => T} kind @returns {T} */
export function byId(id, kind) {
  const node = document.getElementById(id);
  if (!(node instanceof kind)) throw new Error(`no #${id}`);
  return node;
}

/** Announce a text to screen readers. @param {string} text */
export function announce(text) {
  byId("announce", HTMLElement).textContent = text;
}

const ICONS = {
  now: "M2 8.500h3l2-5 3 9 2-4h2",
  playground: "M3 4l4 4-4 4M8.500 12H13",
  history: "M8 4.500V8l2.500 1.500M2.800 6A5.500 5.500 0 1 1 2.500 8.500M2.500 3v3h3",
  connect: "M6 3v3M10 3v3M4 6h8v2a4 4 0 0 1-8 0zM8 12v2",
  copy: "M6 6h7v7H6zM3 10V3h7",
  image: "M2.500 3.500h11v9h-11zM3 11l3-3 2.500 2.500L11 8l2.500 2.500",
  back: "M9.500 3.500L5 8l4.500 4.500",
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true"})) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.appendChild(path);
  return svg;
}

/** Create a mark whose shape and colour show a state. @param {"good" | "warn" | "bad" | "wait" | "work"} kind */
export function mark(kind) {
  return h("span", {class: "mark", "data-mark": kind, "aria-hidden": "true"});
}

/** Create a button that copies a text. @param {() => string} text @param {string} [what] @param {string} [label] */
export function copyButton(text, what = "", label = "Copy") {
  const words = h("span", {}, label);
  const copy = button("plain copy", async () => {
    const done = await copied(text());
    words.textContent = done ? "Copied" : "Press Ctrl+C";
    announce(done ? "Copied." : "Select it and press Ctrl+C.");
    setTimeout(() => { words.textContent = label; }, 1500);
  }, icon("copy"), words);
  copy.ariaLabel = `${label} ${what}`.trim();
  return copy;
}

/** Copy a text, even without the clipboard API, which http: has only on localhost. @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", {class: "unseen", "aria-hidden": "true"});
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Create a code block with a copy button. @param {string} text @param {string} what */
export function codeBlock(text, what) {
  const code = h("code", {}, text);
  return h("div", {class: "code"}, h("pre", {tabindex: "0", "aria-label": what}, code), copyButton(() => code.textContent ?? "", what));
}

/** @param {string} label @param {Child[]} content */
export function field(label, ...content) {
  return h("label", {class: "field"}, h("span", {}, label), ...content);
}
