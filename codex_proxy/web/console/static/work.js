// The agent's work, as quiet rows that open: a command with its output, a patch as a diff, a plan as a checklist, a search.

import {add, button, codeBlock, h} from "./dom.js";
import {clean, link, markdown} from "./markdown.js";
import {count} from "./times.js";

/** @typedef {import("../types").Item} Item */

const SHOWN = 20_000; // characters of an output; the rest on request

/** Show long text in a scrolling box, its middle only on request. @param {string} text @param {string} label */
export function output(text, label) {
  const shown = clean(text);
  const pre = h("pre", {class: "output", tabindex: "0", "aria-label": label});
  if (shown.length <= SHOWN) {
    pre.append(shown);
    return pre;
  }
  pre.append(shown.slice(0, SHOWN / 2), "\n⋯\n", shown.slice(-SHOWN / 2));
  const all = showAll(shown, () => { pre.textContent = shown; all.remove(); });
  return h("div", {}, pre, all);
}

/** @param {string} text shown in part @param {() => void} act */
export function showAll(text, act) {
  return button("plain", act, `Show all (${count(Math.ceil(text.length / 1000))} kB)`);
}

/** Create a row that does not open. @param {string} verb @param {import("./dom.js").Child[]} content */
export function flat(verb, ...content) {
  return h("div", {class: "work flat"}, h("span", {class: "verb"}, verb), ...content);
}

/** Create the one-line subject of a row. @param {string} text @param {"code" | "span"} [tag] */
export function line(text, tag = "span") {
  return h(tag, {class: "line"}, clean(text));
}

/** @param {string} verb @param {import("./dom.js").Child[]} summary @param {() => import("./dom.js").Child[]} content */
function row(verb, summary, content) {
  const details = h("details", {class: "work"}, h("summary", {}, h("span", {class: "verb"}, verb), ...summary));
  details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) add(details, ...content()); });
  return details;
}

/** @param {string | undefined} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return {};
  }
}

/** @param {Item} item @param {number | null} seconds that it took, if known */
export function workRow(item, seconds) {
  const given = parsed(item.arguments);
  const took = h("span", {class: "took"}, seconds === null ? "" : `${seconds.toFixed(1)} s`);
  if (item.type === "reasoning") return thought(item, took);
  if (item.type === "web_search_call") return search(item);
  if (Array.isArray(given.plan)) return plan(given.plan);
  if (Array.isArray(given.changes)) return patch(item, given.changes);
  if (typeof given.command === "string" && item.name === "shell") return command(item, given.command, took);
  if (item.name === "wait" && typeof given.for === "string") return flat("waited", line(`for ${given.for}`));
  return row("called", [line(item.name ?? item.type, "code"), status(item), took], () => [
    output(JSON.stringify(given, null, 2), "Arguments"), typeof item.output === "string" && item.output ? output(item.output, "Result") : null,
  ]);
}

/** @param {Item} item @param {string} [good] the text when nothing went wrong */
function status(item, good) {
  const problem = item.error?.content.map((part) => part.text).join(" ");
  if (item.status === "in_progress") return h("span", {class: "tag"}, "running");
  if (item.status === "incomplete") return h("span", {class: "tag warn"}, "stopped");
  return problem ? h("span", {class: "tag bad"}, clean(problem)) : good ? h("span", {class: "tag"}, good) : null;
}

/** @param {Item} item @param {string} text @param {HTMLElement} took */
function command(item, text, took) {
  const shown = clean(text);
  const runs = item.status === "in_progress";
  const first = line(`$ ${shown.split("\n", 1)[0]}`, "code");
  first.title = shown.slice(0, 1000);
  return row(runs ? "running" : "ran", [first, runs ? null : status(item, "exit code 0"), took], () => [
    codeBlock(shown, "the command"),
    typeof item.output === "string" && item.output ? output(item.output, "Output") : h("p", {class: "quiet"}, runs ? "Running…" : "No output."),
  ]);
}

/** @param {string} kind @param {string} diff @returns {{sign: string, text: string}[]} */
function diffLines(kind, diff) {
  const lines = clean(diff).replace(/\n$/, "").split("\n");
  const whole = {add: "+", delete: "-"}[kind];
  if (whole && !lines.some((line) => line.startsWith("@@"))) return lines.map((text) => ({sign: whole, text: whole + text}));
  return lines.map((text) => ({sign: /^(\+\+\+|---) /.test(text) ? "@" : text[0] ?? " ", text}));
}

/** @param {Item} item @param {{path: string, kind: string, diff: string}[]} changes */
function patch(item, changes) {
  const files = changes.map(({path, kind, diff}) => ({path: clean(path), kind, lines: diffLines(kind, diff)}));
  const counted = files.map(({path, lines}) => {
    const [more, less] = ["+", "-"].map((sign) => lines.filter((line) => line.sign === sign).length);
    return h("span", {class: "file"}, h("code", {}, path.split("/").pop() ?? path), h("span", {class: "plus"}, ` +${more}`), h("span", {class: "minus"}, ` −${less}`));
  });
  return row("edited", [h("span", {class: "line"}, ...counted.slice(0, 4), counted.length > 4 ? ` and ${counted.length - 4} more` : null), status(item)], () =>
    files.map(({path, kind, lines}) => {
      const pre = h("pre", {class: "diff", tabindex: "0", "aria-label": `Changes of ${path}`});
      for (const {sign, text} of lines.slice(0, 2000)) {
        pre.append(h("span", {class: {"+": "plus", "-": "minus", "@": "hunk"}[sign] ?? "same"}, `${text}\n`));
      }
      return h("figure", {}, h("figcaption", {}, path, h("span", {class: "quiet"}, ` ${{add: "added", delete: "deleted"}[kind] ?? "changed"}`)), pre);
    }));
}

/** @param {{step: string, status: string}[]} steps */
function plan(steps) {
  const done = steps.filter((step) => step.status === "completed").length;
  const words = /** @type {Record<string, string>} */ ({completed: "done", in_progress: "in progress"});
  return h("section", {class: "plan", "aria-label": "Plan"}, h("p", {class: "verb"}, `Plan, ${done} of ${steps.length} done`), h("ul", {}, ...steps.map((step) =>
    h("li", {class: step.status}, h("span", {class: "box", role: "img", "aria-label": words[step.status] ?? "to do"}), clean(String(step.step))))));
}

/** @param {Item} item @param {HTMLElement} took */
function thought(item, took) {
  const text = (item.summary ?? []).map((part) => part.text).join("\n\n");
  const title = /\*\*([^*\n]+)\*\*/.exec(text)?.[1] ?? text.split("\n", 1)[0];
  if (text.trim().replaceAll("*", "") === title) return flat("thought", line(title), took);
  return row("thought", [line(title), took], () => [markdown(clean(text))]);
}

/** @param {Item} item */
function search(item) {
  const query = clean(item.action?.query ?? item.action?.url ?? "");
  const verb = item.action?.type === "open_page" ? "opened" : "searched";
  return flat(verb, h("span", {class: "line"}, link(query) ?? (query || "…")), status(item));
}
