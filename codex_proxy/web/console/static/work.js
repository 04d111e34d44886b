// What the agent did, as quiet rows that open: a command with its output, a patch as a diff, a plan as a check list, a search.

import {add, copyButton, h} from "./dom.js";
import {clean, link, markdown} from "./markdown.js";

/** @typedef {import("../types").Item} Item */

const SHOWN = 20_000; // characters of an output; the rest on request

/** Long text in a box that scrolls, cut in the middle of what nobody reads at once. @param {string} text @param {string} label */
export function output(text, label) {
  const shown = clean(text);
  const pre = h("pre", {class: "output", tabindex: "0", "aria-label": label});
  if (shown.length <= SHOWN) {
    pre.append(shown);
    return pre;
  }
  const all = h("button", {type: "button", class: "plain"}, `Show all (${Math.ceil(shown.length / 1000).toLocaleString("en-US")} kB)`);
  pre.append(shown.slice(0, SHOWN / 2), "\n⋯\n", shown.slice(-SHOWN / 2));
  const box = h("div", {}, pre, all);
  all.addEventListener("click", () => { pre.textContent = shown; all.remove(); });
  return box;
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

/** @param {Item} item @param {number | null} seconds that it took, where that is known */
export function workRow(item, seconds) {
  const given = parsed(item.arguments);
  const took = seconds === null ? "" : `${seconds.toFixed(1)} s`;
  if (item.type === "reasoning") return thought(item, took);
  if (item.type === "web_search_call") return search(item);
  if (Array.isArray(given.plan)) return plan(given.plan);
  if (Array.isArray(given.changes)) return patch(item, given.changes);
  if (typeof given.command === "string" && item.name === "shell") return command(item, given.command, took);
  if (item.name === "wait" && typeof given.for === "string") return h("div", {class: "work flat"}, h("span", {class: "verb"}, "waited"), h("span", {class: "line"}, `for ${clean(given.for)}`));
  const problem = item.error?.content.map((part) => part.text).join(" ") ?? "";
  const name = h("code", {class: "line"}, clean(item.name ?? item.type));
  return row("called", [name, status(item, problem), h("span", {class: "took"}, took)], () => [
    output(JSON.stringify(given, null, 2), "Arguments"), typeof item.output === "string" && item.output ? output(item.output, "Result") : null,
  ]);
}

/** @param {Item} item @param {string} problem */
function status(item, problem) {
  if (item.status === "in_progress") return h("span", {class: "tag"}, "running");
  if (item.status === "incomplete") return h("span", {class: "tag warn"}, "cut off");
  return problem ? h("span", {class: "tag bad"}, clean(problem)) : null;
}

/** @param {Item} item @param {string} text @param {string} took */
function command(item, text, took) {
  const shown = clean(text);
  const problem = item.error?.content.map((part) => part.text).join(" ") ?? "";
  const line = h("code", {class: "line", title: shown.slice(0, 1000)}, `$ ${shown.split("\n", 1)[0]}`);
  const end = item.status === "in_progress" || problem || item.status === "incomplete" ? status(item, problem) : h("span", {class: "tag"}, "exit code 0");
  return row("ran", [line, end, h("span", {class: "took"}, took)], () => [
    h("div", {class: "code"}, h("pre", {tabindex: "0", "aria-label": "Command"}, h("code", {}, shown)), copyButton(() => shown, "the command")),
    typeof item.output === "string" && item.output ? output(item.output, "Output") : h("p", {class: "quiet"}, item.status === "in_progress" ? "Running…" : "No output."),
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
  const problem = item.error?.content.map((part) => part.text).join(" ") ?? "";
  return row("edited", [h("span", {class: "line"}, ...counted.slice(0, 4), counted.length > 4 ? ` and ${counted.length - 4} more` : null), status(item, problem)], () =>
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
  const node = h("section", {class: "plan", "aria-label": "Plan"}, h("p", {class: "verb"}, `Plan, ${done} of ${steps.length} done`));
  const words = /** @type {Record<string, string>} */ ({completed: "done", in_progress: "in progress"});
  const list = h("ul");
  for (const step of steps) {
    list.append(h("li", {class: step.status}, h("span", {class: "box", role: "img", "aria-label": words[step.status] ?? "to do"}), clean(String(step.step))));
  }
  node.append(list);
  return node;
}

/** @param {Item} item @param {string} took */
function thought(item, took) {
  const text = (item.summary ?? []).map((part) => part.text).join("\n\n");
  const title = /\*\*([^*\n]+)\*\*/.exec(text)?.[1] ?? text.split("\n", 1)[0];
  if (text.trim().replaceAll("*", "") === title) return h("div", {class: "work flat"}, h("span", {class: "verb"}, "thought"), h("span", {class: "line"}, clean(title)), h("span", {class: "took"}, took));
  return row("thought", [h("span", {class: "line"}, clean(title)), h("span", {class: "took"}, took)], () => [markdown(clean(text))]);
}

/** @param {Item} item */
function search(item) {
  const query = clean(item.action?.query ?? item.action?.url ?? "");
  const verb = item.action?.type === "open_page" ? "opened" : "searched";
  return h("div", {class: "work flat"}, h("span", {class: "verb"}, verb), h("span", {class: "line"}, link(query) ?? (query || "…")), status(item, ""));
}
