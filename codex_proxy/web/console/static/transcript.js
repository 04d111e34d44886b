// A transcript: the question, the agent's work, the answer. Built from the events of a stream, or from a stored response.

import {add, h, mark} from "./dom.js";
import {Growing, clean, markdown} from "./markdown.js";
import {count, duration, lasted, tick, tokens, when} from "./times.js";
import {flat, line, showAll, workRow} from "./work.js";

/** @typedef {import("../types").Item} Item */
/** @typedef {import("../types").Answer} Answer */

const SHOWN = 200_000; // characters of an answer; the rest on request
const SHARE = 4; // after a rendering of 5 ms, wait 4 times as long

export const ENDED = new Set(["completed", "incomplete", "failed", "cancelled"]);

/** The renderings for the next frame. */
const pending = new Set();
/** @param {() => void} render */
function nextFrame(render) {
  if (!pending.size) {
    requestAnimationFrame(() => {
      const now = [...pending];
      pending.clear();
      for (const one of now) one();
    });
  }
  pending.add(render);
}

/** Show a user's message. @param {unknown} content a text, or the parts of a message */
export function userMessage(content) {
  const node = h("div", {class: "said"});
  const parts = typeof content === "string" ? [{type: "input_text", text: content}] : Array.isArray(content) ? content : [];
  for (const part of parts) {
    if (typeof part.text === "string") node.append(h("p", {dir: "auto"}, clean(part.text)));
    else if (typeof part.image_url === "string" && part.image_url.startsWith("data:image/")) {
      node.append(h("img", {src: part.image_url, alt: "Attached image"}));
    } else node.append(h("p", {class: "quiet"}, part.type === "input_image" ? "An image." : `A part of type ${part.type}.`));
  }
  return node;
}

/** Show the parts of a response's input that people read. @param {Item[]} items @returns {HTMLElement[]} */
export function inputNodes(items) {
  return items.flatMap((item) => {
    if (item.type === "message" && item.role === "assistant") {
      return [answerText(item)];
    }
    if (item.type === "message") return [userMessage(item.content)];
    if (item.type.endsWith("_call_output")) return [flat("got", line(String(typeof item.output === "string" ? item.output : JSON.stringify(item.output)).slice(0, 300), "code"))];
    return [];
  });
}

/** An answer in progress. */
export class AnswerView {
  /**
   * @param {{onUpdate?: () => void, status?: HTMLElement, began?: number}} [options] `status`: where to show its state, outside the
   *   growing text; `began`: when, in seconds since the epoch, if its first events are old
   */
  constructor({onUpdate = () => undefined, status, began} = {}) {
    this.body = h("div", {class: "answer-body"});
    this.foot = h("p", {class: "foot", role: "status"});
    this.status = status ?? this.foot;
    this.node = h("article", {class: "answer", "aria-label": "Answer", "aria-busy": "true"}, this.body, this.foot);
    this.onUpdate = onUpdate;
    /** @type {Map<string, {node: HTMLElement, began: number, text: string, growing?: Growing, item: Item, free: number, render?: () => void}>} */
    this.items = new Map();
    /** @type {Answer | null} */
    this.response = null;
    this.began = began ? began * 1000 : Date.now();
    this.replayed = began ? Date.now() + 1000 : 0; // until then its events are old
    this.failed = false;
    this.live = false; // it gets events, so its duration is known to more than whole seconds
    this.state("Waiting for Codex", true);
  }

  get ended() {
    return ENDED.has(this.response?.status ?? "");
  }

  /** @param {any} event of the Responses API */
  apply(event) {
    this.live = true;
    switch (event.type) {
      case "response.queued": return this.state("Waiting for a worker", true);
      case "response.created":
      case "response.in_progress":
        this.response = event.response;
        return undefined;
      case "response.output_item.added": return this.open(event.item);
      case "response.mcp_call_arguments.done": return this.tell(event.item_id, event.arguments);
      case "response.output_text.delta": return this.grow(event.item_id, event.delta);
      case "response.output_item.done": return this.close(event.item, true);
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        return this.end(event.response);
      case "error": return this.fail(event.message);
      default: return undefined;
    }
  }

  /** @param {string} words @param {boolean} [running] */
  state(words, running = false) {
    const clock = tick(h("span", {class: "clock"}), () => duration((Date.now() - this.began) / 1000));
    this.status.replaceChildren(mark(running ? "work" : "wait"), h("span", {}, words), ...(running ? [clock] : []));
  }

  /** @param {Item} item */
  open(item) {
    const node = item.type === "message" ? h("div", {class: item.phase === "commentary" ? "prose commentary" : "prose"}) : workRow(item, null);
    this.items.set(item.id, {node, began: Date.now() < this.replayed ? NaN : Date.now(), text: "", item, free: 0, growing: item.type === "message" ? new Growing(node) : undefined});
    this.body.append(node);
    const doing = {message: "Writing", reasoning: "Thinking", mcp_call: "Working", web_search_call: "Searching the web"}[item.type];
    this.state(doing ?? "Working", true);
    this.onUpdate();
  }

  /** Show the details of a piece of work, which arrive after its start. @param {string} id @param {string} given */
  tell(id, given) {
    const known = this.items.get(id);
    if (!known) return;
    known.item = {...known.item, arguments: given};
    this.put(known, workRow(known.item, null));
    this.onUpdate();
  }

  /** @param {string} id @param {string} delta */
  grow(id, delta) {
    const item = this.items.get(id);
    if (!item?.growing) return;
    item.text += delta;
    const render = () => {
      const began = performance.now();
      if (began < item.free) return nextFrame(render);
      item.growing?.set(clean(item.text).slice(0, SHOWN));
      item.free = performance.now() + SHARE * (performance.now() - began);
      this.onUpdate();
      return undefined;
    };
    item.render ??= render;
    if (item.text === delta) render(); // the first text waits for no frame
    else nextFrame(item.render);
  }

  /** @param {Item} item @param {boolean} live */
  close(item, live) {
    const known = this.items.get(item.id);
    if (known) known.item = item;
    if (item.type === "message") {
      if (known) pending.delete(known.render);
      this.put(known, answerText(item));
    } else {
      const seconds = live && known ? (Date.now() - known.began) / 1000 : null;
      const node = workRow(item, seconds !== null && seconds >= 0.1 ? seconds : null);
      if (known?.node instanceof HTMLDetailsElement && known.node.open && node instanceof HTMLDetailsElement) node.open = true;
      this.put(known, node);
    }
    if (live) this.state("Waiting for the model", true);
    this.onUpdate();
  }

  /** @param {{node: HTMLElement} | undefined} known @param {HTMLElement} node */
  put(known, node) {
    if (known) known.node.replaceWith(node);
    else this.body.append(node);
    if (known) known.node = node;
  }

  /** @param {Answer} response */
  end(response) {
    this.response = response;
    const took = response.completed_at ? lasted(response.completed_at - response.created_at, this.live ? (Date.now() - this.began) / 1000 : null) : "";
    const [kind, words] = /** @type {Record<string, [Parameters<typeof mark>[0], string]>} */ ({
      completed: ["good", "Done"],
      cancelled: ["wait", "Stopped."],
      failed: ["bad", response.error?.message ?? "The turn failed."],
      incomplete: ["warn", response.max_output_tokens ? `This answer was cut at ${count(response.max_output_tokens)} tokens.` : "This answer was cut."],
    })[response.status] ?? ["wait", response.status];
    this.over(kind, words, took && response.status === "completed" ? h("span", {class: "clock"}, took) : null, response.usage ? h("span", {}, tokens(response.usage)) : null);
  }

  /** @param {string} message */
  fail(message) {
    this.over("bad", message);
  }

  /** @param {Parameters<typeof mark>[0]} kind @param {string} words @param {...import("./dom.js").Child} more */
  over(kind, words, ...more) {
    this.node.removeAttribute("aria-busy");
    for (const known of this.items.values()) {
      if (known.item.type === "mcp_call" && known.item.status === "in_progress") this.put(known, workRow({...known.item, status: "incomplete"}, null));
    }
    this.status.replaceChildren();
    this.failed = kind === "bad";
    this.foot.replaceChildren();
    add(this.foot, h("span", {class: kind}, mark(kind), clean(words)), ...more);
    this.onUpdate();
  }
}

/** @param {Item} item a message */
function answerText({content = "", phase}) {
  const shown = clean(typeof content === "string" ? content : content.map((part) => part.text ?? "").join(""));
  const node = markdown(shown.slice(0, SHOWN));
  if (phase === "commentary") node.classList.add("commentary");
  if (shown.length > SHOWN) {
    node.append(showAll(shown, () => node.replaceChildren(h("pre", {class: "output tall", tabindex: "0", "aria-label": "The whole answer"}, shown))));
  }
  return node;
}

/** Show a stored response. @param {Answer} response @param {Item[]} input @param {import("./dom.js").Child[]} actions */
export function keptTurn(response, input, ...actions) {
  const view = new AnswerView();
  for (const item of response.output) view.close(item, false);
  if (ENDED.has(response.status)) view.end(response);
  else view.state(response.status === "queued" ? "Waiting for a worker" : "Running");
  view.foot.append(h("span", {}, response.model), when(response.created_at), ...actions.filter((one) => one instanceof Node));
  return h("section", {class: "turn"}, ...inputNodes(input), view.node);
}
