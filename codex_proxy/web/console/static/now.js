// Now: whether the server works and what to do if not; the turns running at this moment, with a stop button for each.

import {json, sentence} from "./api.js";
import {announce, button, copyButton, h, mark, setText} from "./dom.js";
import {live, serverNow, watch} from "./live.js";
import {ago, duration, tick, until} from "./times.js";

/** @typedef {import("../types").TurnNow} TurnNow */
/** @typedef {import("../types").Status} Status */

/** What the server's reasons mean, and what to do about them. @type {[RegExp, string, string, string?][]} */
const REMEDIES = [
  [/not logged in/, "Not logged in.", "Run this on the server; then this page updates by itself.", "codex-proxy login"],
  [/shutting down/, "Shutting down.", "Running turns finish first. This page reconnects when the server is back."],
  [/queue full/, "The queue is full.", "New turns are refused until one of these ends. Stop what you do not need."],
  [/provider is not local/, "The model provider is not local.", "CODEX_LOCAL_ONLY=1 allows local providers only. Change the provider in Codex's config.toml, or that setting."],
  [/check its login/, "ChatGPT does not answer.", "Codex asks it about the account when it starts; the server keeps trying. Check the internet connection, or log in again.", "codex-proxy login"],
  [/no worker/, "No worker yet.", "The Codex CLI is starting. If this stays, see the server's log, or run this.", "codex-proxy doctor"],
];

/** @type {Record<string, string>} */
const DOING = {
  starting: "starting", waiting: "waiting for the model", retrying: "asking the model provider again", thinking: "thinking", writing: "writing",
  command: "$ ", patch: "editing ", mcp_call: "calling ", search: "searching ", tool_call: "calls back ",
};

/** @param {TurnNow} turn */
function doing(turn) {
  if (turn.state === "stopping") return "stopping";
  if (!turn.doing) return "waiting for a worker";
  const {kind, text} = turn.doing;
  return kind === "search" && !text ? "searching the web" : `${DOING[kind] ?? kind}${text}`;
}

/** @type {[string, string, (turn: TurnNow) => string | number][]} */
const COLUMNS = [
  ["key", "Key", (turn) => turn.key],
  ["model", "Model", (turn) => turn.model],
  ["time", "Time", (turn) => -turn.submitted_at],
  ["doing", "Doing", doing],
];

/** @returns {import("../types").Place} */
export function create() {
  const health = h("div", {class: "health"});
  const facts = h("dl", {class: "facts"});
  const rows = h("div", {class: "turns", role: "table", "aria-label": "Running and waiting turns"});
  const empty = h("p", {class: "empty"}, "No turn is running. Turns of every client appear here while they run. ", h("a", {href: "#playground"}, "Ask something"), ".");
  const node = h("div", {}, h("h1", {}, "Now"), health, facts, h("h2", {}, "Running"), rows, empty);
  const sorting = {by: "time", down: true};
  /** @type {Map<string, Row>} */
  const known = new Map();
  const heads = COLUMNS.map(([name, label]) => h("span", {role: "columnheader", "data-column": name, "aria-sort": "none"}, button("plain", () => {
    sorting.down = sorting.by === name ? !sorting.down : true;
    sorting.by = name;
    render();
  }, label)));
  rows.append(h("div", {role: "row", class: "turn-row head"}, ...heads, h("span", {role: "columnheader"}, h("span", {class: "unseen"}, "Stop"))));

  function render() {
    const status = live.status;
    if (!status) return;
    renderHealth(health, status);
    renderFacts(facts, status);
    const value = COLUMNS.find(([name]) => name === sorting.by)?.[2] ?? (() => 0);
    const turns = [...status.turns].sort((one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0) * (sorting.down ? 1 : -1));
    for (const head of heads) head.setAttribute("aria-sort", head.dataset.column === sorting.by ? (sorting.down ? "ascending" : "descending") : "none");
    for (const [id, row] of known) {
      if (!turns.some((turn) => turn.id === id)) {
        row.node.remove();
        known.delete(id);
      }
    }
    turns.forEach((turn, place) => {
      const row = known.get(turn.id) ?? new Row(turn);
      known.set(turn.id, row);
      row.show(turn);
      if (rows.children[place + 1] !== row.node) rows.insertBefore(row.node, rows.children[place + 1] ?? null);
    });
    rows.hidden = !turns.length;
    empty.hidden = turns.length > 0;
  }
  watch(render);
  return {node, show: render};
}

class Row {
  /** @param {TurnNow} turn */
  constructor(turn) {
    this.turn = turn;
    const part = (/** @type {string} */ kind, /** @type {Node[]} */ ...children) => h("span", {role: "cell", class: kind}, ...children);
    this.key = part("key");
    this.model = part("model");
    this.doing = part("doing");
    this.time = tick(part("time"), () => duration(serverNow() - (this.turn.started_at ?? this.turn.submitted_at)));
    this.stop = button("plain stop", () => this.end(), "Stop");
    this.stop.ariaLabel = `Stop the turn of ${turn.key}`;
    this.node = h("div", {role: "row", class: "turn-row"}, this.key, this.model, this.time, this.doing, part("act", this.stop));
  }

  /** @param {TurnNow} turn */
  show(turn) {
    this.turn = turn;
    setText(this.key, turn.own ? `${turn.key} (you)` : turn.key);
    const detail = [turn.mode, turn.effort, turn.sandbox && `${turn.sandbox}${turn.network ? " with network" : ""}`].filter(Boolean).join(" · ");
    if (this.model.childElementCount === 0) this.model.append(h("span", {}, turn.model), h("span", {class: "quiet"}, detail));
    this.node.title = turn.directory;
    setText(this.doing, doing(turn));
    this.doing.className = `doing ${turn.state} ${turn.doing?.kind === "command" ? "mono" : ""}`;
    this.doing.title = turn.doing?.text ?? "";
    this.stop.disabled = turn.state === "stopping";
  }

  async end() {
    this.stop.disabled = true;
    try {
      await json(`x_codex/turns/${encodeURIComponent(this.turn.id)}/cancel`, {method: "POST"});
      announce("Stopping the turn.");
    } catch (error) {
      this.stop.disabled = false;
      announce(sentence(error));
    }
  }
}

/** @param {HTMLElement} node @param {Status} status */
function renderHealth(node, status) {
  const waits = status.turns.filter((turn) => turn.state !== "queued").length >= status.workers.parallel;
  const told = `${status.ready}${status.reason}${waits}`;
  if (node.dataset.told === told) return;
  node.dataset.told = told;
  const [, title, remedy, command] = REMEDIES.find(([reason]) => reason.test(status.reason ?? "")) ?? [null, "No turn can run.", status.reason ?? ""];
  node.className = `health ${status.ready ? "good" : "bad"}`;
  if (status.ready) node.replaceChildren(mark("good"), h("p", {}, h("strong", {}, "Ready."), waits ? " All workers are busy: the next turn waits for one." : " A turn starts at once."));
  else node.replaceChildren(mark("bad"), h("div", {}, h("p", {}, h("strong", {}, title)), h("p", {}, remedy), command ? h("p", {class: "address"}, h("code", {}, command), copyButton(() => command, "the command")) : null));
}

/** @param {HTMLElement} node @param {Status} status */
function renderFacts(node, status) {
  const {login, workers, queue, you} = status;
  const plan = login?.plan ? ` ${login.plan[0].toUpperCase()}${login.plan.slice(1)}` : "";
  /** @type {Record<string, string>} */
  const accounts = {chatgpt: `ChatGPT${plan}`, apiKey: "API key"};
  const who = !login ? "unknown" : !login.usable ? "none" : login.account ? accounts[login.account] ?? login.account : "none needed";
  const busy = status.turns.filter((turn) => turn.state !== "queued").length;
  /** @type {[string, string, string][]} */
  const shown = [
    ["Login", who, login?.provider ? `provider ${login.provider}${login.local ? ", on this machine" : ""}` : ""],
    ["Workers", `${workers.idle} warm`, `${busy} busy${workers.starting ? `, ${workers.starting} starting` : ""}, up to ${workers.parallel} turns at once`],
    ["Queue", `${queue.waiting} of ${queue.limit}`, "waiting"],
    ["You", you.name, you.operator ? "operator: sees every turn" : "sees own turns"],
    ["Server", status.version, `Codex ${status.cli_version}, started ${ago(status.started_at)}`],
    ...status.quota.map(quota),
  ];
  while (node.children.length > shown.length) node.lastElementChild?.remove();
  for (const [index, [label, value, more]] of shown.entries()) {
    const entry = node.children[index] ?? node.appendChild(h("div", {}, h("dt", {}), h("dd", {}), h("dd", {class: "quiet"})));
    setText(entry.children[0], label);
    setText(entry.children[1], value);
    setText(entry.children[2], more);
  }
}

/** @param {import("../types").QuotaWindow} window @returns {[string, string, string]} */
function quota({limit, used_percent, minutes, resets_at}) {
  const length = !minutes ? "" : minutes % 1440 === 0 ? `, ${minutes / 1440} d` : minutes % 60 === 0 ? `, ${minutes / 60} h` : `, ${minutes} min`;
  const resets = resets_at ? `resets ${until(resets_at - serverNow())}` : "";
  return [`Quota${length}`, `${Math.round(used_percent)} % used`, [limit, resets].filter(Boolean).join(", ")];
}
