// Human-readable times and numbers. The page has one clock, which updates all durations once a second.

import {setText} from "./dom.js";

/** @type {WeakMap<Element, () => string>} */
const ticking = new WeakMap();

/** Show the result of `text`, updated every second while the node is on the page. @param {HTMLElement} node @param {() => string} text */
export function tick(node, text) {
  ticking.set(node, text);
  node.dataset.tick = "";
  node.textContent = text();
  return node;
}

/** Update all durations on the page. */
export function beat() {
  for (const one of document.querySelectorAll("[data-tick]")) {
    setText(one, ticking.get(one)?.() ?? "");
  }
}
setInterval(beat, 1000);

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = /** @param {number} n */ (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Format how long something took: under a minute with tenths, if known. @param {number} whole seconds @param {number | null} exact */
export function lasted(whole, exact) {
  if (exact !== null && exact < 60) return `${exact.toFixed(1)} s`;
  return whole < 1 ? "under 1 s" : whole < 60 ? `${whole} s` : duration(whole);
}

/** @param {number} seconds since the epoch */
export function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  if (past < 45) return "just now";
  for (const [unit, size, below] of /** @type {[string, number, number][]} */ ([["min", 60, 3600], ["h", 3600, 86400], ["d", 86400, 86400 * 30]])) {
    if (past < below) return `${Math.max(1, Math.round(past / size))} ${unit} ago`;
  }
  return new Date(seconds * 1000).toLocaleDateString();
}

/** @param {number} seconds from now */
export function until(seconds) {
  if (seconds < 60) return "in a moment";
  if (seconds < 3600) return `in ${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `in ${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `in ${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** Create a relative time that shows the exact one on hover. @param {number} seconds */
export function when(seconds) {
  const node = document.createElement("time");
  const exact = new Date(seconds * 1000);
  node.dateTime = exact.toISOString();
  node.title = exact.toLocaleString();
  return tick(node, () => ago(seconds));
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString("en-US");
}

/** @param {{input_tokens: number, output_tokens: number, input_tokens_details: {cached_tokens: number}} | null | undefined} usage */
export function tokens(usage) {
  if (!usage) return "";
  const cached = usage.input_tokens_details.cached_tokens;
  return `${count(usage.input_tokens)} tokens in${cached ? ` (${count(cached)} cached)` : ""}, ${count(usage.output_tokens)} out`;
}
