// A strict subset of Markdown, for answers: paragraphs, headings, fences, lists, tables, code, bold, http(s) links. Builds nodes, never
// HTML.

import {codeBlock, h} from "./dom.js";

const INLINE = /`([^`\n]{1,2000})`|\*\*([^*\n]{1,500})\*\*|\[([^\]\n]{1,300})\]\(([^)\s]{1,2000})\)|(https?:\/\/[^\s<>"'`)\]]{0,2000}[^\s<>"'`)\].,:;!?*])/g;
const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]{0,30})/;
const LIST = /^( {0,12})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEADING = /^#{1,6}\s+(.*)$/;
const ROW = /^ {0,3}\|(.*)\|\s*$/;

/** Remove terminal codes, control characters and marks that change the text direction, but not joiners, which words and emoji need. @param {string} text */
export function clean(text) {
  return text.replace(/\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,1000}(?:\u0007|\u001b\\)|[@-Z\\-_])/g, "")
    .replace(/\r\n?/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "");
}

/** Create a link that leads where its text says, or return null. @param {string} address @param {string} [text] */
export function link(address, text) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  const anchor = h("a", {href: url.href, target: "_blank", rel: "noopener noreferrer nofollow"}, text ?? address);
  return text === undefined || text === url.host ? anchor : h("span", {}, anchor, h("span", {class: "quiet"}, ` (${url.host})`));
}

/** @param {HTMLElement} parent @param {string} text @returns {HTMLElement} the parent */
function inline(parent, text) {
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, code, bold, words, address, bare] = found;
    parent.append(text.slice(from, found.index));
    if (code !== undefined) parent.append(h("code", {}, code));
    else if (bold !== undefined) parent.append(inline(h("strong"), bold));
    else parent.append((bare !== undefined ? link(bare) : link(address, words)) ?? all);
    from = found.index + all.length;
  }
  parent.append(text.slice(from));
  return parent;
}

/** @param {string[]} lines */
function list(lines) {
  const root = h("div", {class: "list"});
  /** @type {{indent: number, node: HTMLElement}[]} */
  const open = [];
  for (const line of lines) {
    const found = LIST.exec(line);
    if (!found) {
      const last = open.at(-1)?.node.lastElementChild;
      if (last instanceof HTMLElement) inline(last, `\n${line.trim()}`);
      continue;
    }
    const [, space, sign, text] = found;
    while (open.length > 1 && space.length < open[open.length - 1].indent) open.pop();
    const last = open.at(-1);
    if (!last || space.length > last.indent + 1) {
      const node = /\d/.test(sign) ? h("ol", {start: parseInt(sign, 10), dir: "auto"}) : h("ul", {dir: "auto"});
      (last?.node.lastElementChild ?? root).append(node);
      open.push({indent: space.length, node});
    }
    open[open.length - 1].node.append(inline(h("li"), text));
  }
  return root;
}

/** @param {string[]} lines of cells between bars; the second one may separate the head */
function table(lines) {
  return h("table", {}, ...lines.filter((line, place) => place !== 1 || /[^\s|:-]/.test(line)).map((line, place) =>
    h("tr", {}, ...(ROW.exec(line)?.[1] ?? "").split(/(?<!\\)\|/).map((cell) => inline(h(place ? "td" : "th", {dir: "auto"}), cell.trim().replaceAll("\\|", "|"))))));
}

/** @typedef {{end: number, node: () => HTMLElement, open?: {text: string}}} Block */

/**
 * Parse the blocks of a text from a position on; `end` is where the next block begins.
 * @param {string} text
 * @param {number} from
 * @returns {Block[]}
 */
function blocks(text, from) {
  /** @type {Block[]} */
  const found = [];
  let at = from;
  const next = () => {
    const end = text.indexOf("\n", at);
    const line = end < 0 ? text.slice(at) : text.slice(at, end);
    return {line, end: end < 0 ? text.length : end + 1};
  };
  while (at < text.length) {
    const {line, end} = next();
    const fence = FENCE.exec(line);
    if (!line.trim()) {
      at = end;
    } else if (fence) {
      const close = new RegExp(`^ {0,3}${fence[1]}\\s*$`, "m");
      const after = text.slice(end);
      const closing = close.exec(after);
      const code = closing ? after.slice(0, closing.index) : after;
      at = closing ? end + closing.index + closing[0].length : text.length;
      const language = fence[2];
      const block = () => codeBlock(code.replace(/\n$/, ""), `${language} code`.trim());
      found.push({end: at, node: block, open: closing ? undefined : {text: code}});
    } else if (HEADING.test(line)) {
      at = end;
      found.push({end: at, node: () => inline(h("p", {class: "heading", dir: "auto"}), HEADING.exec(line)?.[1] ?? "")});
    } else {
      const kind = [ROW, LIST].find((one) => one.test(line));
      /** @type {string[]} */
      const lines = [];
      while (at < text.length) {
        const one = next();
        if (!one.line.trim() || FENCE.test(one.line) || HEADING.test(one.line) || ROW.test(one.line) !== (kind === ROW) || (!kind && LIST.test(one.line))) break;
        lines.push(one.line);
        at = one.end;
      }
      const whole = lines.join("\n");
      found.push({end: at, node: () => (kind === LIST ? list(lines) : kind ? table(lines) : inline(h("p", {dir: "auto"}), whole))});
    }
  }
  return found;
}

/** Renders a growing text: only its last block is rendered again. */
export class Growing {
  /** @param {HTMLElement} node */
  constructor(node) {
    this.node = node;
    this.text = "";
    this.settled = 0; // characters whose blocks are final
    /** @type {HTMLElement | null} */
    this.last = null;
    this.code = 0; // characters shown of an open fence
  }

  /** @param {string} text all of it so far */
  set(text) {
    this.text = text;
    const found = blocks(text, this.settled);
    const open = found.at(-1);
    if (!open) return;
    if (found.length === 1 && open.open && this.last && this.code) {
      const code = this.last.querySelector("code");
      code?.append(open.open.text.slice(this.code));
      this.code = open.open.text.length;
      return;
    }
    this.last?.remove();
    for (const block of found) this.node.append((this.last = block.node()));
    this.settled = found.at(-2)?.end ?? this.settled;
    this.code = open.open?.text.length ?? 0;
  }
}

/** @param {string} text */
export function markdown(text) {
  const node = h("div", {class: "prose"});
  new Growing(node).set(text);
  return node;
}
