// The choices below the message: model, mode, effort, sandbox and directory, as the caller may choose them. The latest are remembered.

import {json} from "./api.js";
import {h} from "./dom.js";
import {live, watch} from "./live.js";

const LATEST = "codex-proxy.choices"; // in localStorage

/** @returns {{node: HTMLElement, chosen: () => Record<"model" | "mode" | "effort" | "sandbox" | "cwd", string>}} */
export function choices() {
  const select = (/** @type {string} */ label) => h("select", {"aria-label": label, onchange: choose});
  const selects = {model: select("Model"), mode: select("Mode"), effort: select("Effort"), sandbox: select("Sandbox"), cwd: select("Directory")};
  /** @type {any[]} */
  let models = [];
  let filled = "";

  const chosen = () => /** @type {Record<keyof typeof selects, string>} */ (Object.fromEntries(Object.entries(selects).map(([name, {value}]) => [name, value])));

  function choose() {
    efforts();
    localStorage.setItem(LATEST, JSON.stringify(chosen()));
  }

  /** @param {HTMLSelectElement} select @param {string[]} values @param {string} [wanted] @param {(value: string) => string} [label] */
  function fill(select, values, wanted = select.value, label = (value) => value) {
    select.replaceChildren(...values.map((value) => new Option(label(value), value)));
    select.value = values.includes(wanted) ? wanted : values[0] ?? "";
  }

  /** @param {string} [wanted] */
  function efforts(wanted) {
    const known = models.find((one) => one.id === selects.model.value)?.x_codex?.reasoning_efforts ?? [];
    fill(selects.effort, ["", ...known], wanted, (one) => `${one || "default"} effort`);
    const isChat = selects.mode.value === "chat";
    selects.sandbox.disabled = selects.cwd.disabled = isChat;
    selects.sandbox.title = isChat ? "Chat mode runs no commands." : "What commands may do";
  }

  /** @returns {Record<string, string>} */
  function latest() {
    try {
      return JSON.parse(localStorage.getItem(LATEST) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }

  async function load() {
    const you = live.status?.you;
    const told = JSON.stringify([you, live.status?.ready]);
    if (!you || told === filled) return;
    filled = told;
    const {model, mode, effort, sandbox, cwd} = latest();
    fill(selects.mode, you.default_mode === "chat" ? ["chat", "agent"] : ["agent", "chat"], mode);
    fill(selects.sandbox, you.sandboxes, sandbox);
    fill(selects.cwd, you.workspaces, cwd, (one) => one.split("/").pop() || one);
    selects.cwd.title = you.workspaces.join("\n");
    const listed = await json("v1/models").catch(() => null);
    if (listed) models = listed.data.filter((/** @type {any} */ one) => !one.x_codex || one.x_codex.model === one.id);
    fill(selects.model, models.length ? models.map((one) => one.id) : [""], model, (one) => one || "default");
    efforts(effort);
  }
  watch(load);
  return {node: h("div", {class: "choices"}, ...Object.values(selects)), chosen};
}
