// History: the caller's stored responses, grouped by conversation and searchable; each opens as the conversation that it ends.

import {chain, json, pathOf, sentence} from "./api.js";
import {announce, button, copyButton, field, h, icon} from "./dom.js";
import {keptTurn} from "./transcript.js";
import {count, when} from "./times.js";

/** @typedef {import("../types").Kept} Kept */

/** @type {Record<string, string>} */
const WORDS = {cancelled: "stopped", in_progress: "running", incomplete: "cut"};
const SEARCH_AFTER = 250; // milliseconds after the last keystroke

/** @returns {import("../types").Place} */
export function create() {
  const search = h("input", {type: "search", placeholder: "Search", autocomplete: "off"});
  const model = h("select", {}, h("option", {value: ""}, "all models"));
  const list = h("ul", {class: "kept"});
  const more = button("", () => load(false), "Show more");
  more.hidden = true;
  const note = h("p", {class: "empty", role: "status"});
  const listing = h("div", {class: "listing"}, h("div", {class: "filters"}, field("Text", search), field("Model", model)), note, list, more);
  const opened = h("div", {class: "opened"});
  const node = h("div", {class: "history"}, h("h1", {}, "History"), h("div", {class: "two"}, listing, opened));
  let [after, number] = [/** @type {string | null} */ (null), 0];
  let selected = "";
  /** Conversations that continue a turn not yet listed, by its id. @type {Map<string, Conversation>} */
  const continued = new Map();

  /** @param {boolean} fresh */
  async function load(fresh) {
    const mine = ++number;
    const query = new URLSearchParams({limit: "30"});
    if (search.value.trim()) query.set("search", search.value.trim());
    if (model.value) query.set("model", model.value);
    if (!fresh && after) query.set("after", after);
    if (fresh && !list.childElementCount) note.textContent = "Loading…";
    let page;
    try {
      page = await json(`x_codex/responses?${query}`);
    } catch (error) {
      if (mine === number) note.textContent = sentence(error);
      return;
    }
    if (mine !== number) return;
    if (fresh) {
      list.replaceChildren();
      continued.clear();
    }
    for (const kept of page.data) place(kept);
    after = page.next;
    more.hidden = !after;
    const searched = search.value.trim() || model.value;
    note.textContent = list.childElementCount ? "" : after ? "Nothing found so far. Show more searches further back." : searched ? "No stored response matches." : "Nothing is stored yet. Responses of the Responses API, including the Playground's, are stored unless a request sets store: false.";
    mark();
  }

  /** @param {Kept} kept */
  function entry(kept) {
    const link = h("a", {href: `#history/${kept.id}`, "data-id": kept.id},
      h("span", {class: "title"}, kept.title || "(no text)"),
      h("span", {class: "quiet"}, when(kept.created_at), ` · ${kept.model}`, kept.usage ? ` · ${count(kept.usage.input_tokens + kept.usage.output_tokens)} tokens` : "", kept.status === "completed" ? "" : ` · ${WORDS[kept.status] ?? kept.status}`));
    if (![...model.options].some((option) => option.value === kept.model)) model.append(h("option", {value: kept.model}, kept.model));
    return h("li", {}, link);
  }

  /** Add a response; latest first, so one continued by a response already shown goes below that. @param {Kept} kept */
  function place(kept) {
    let conversation = continued.get(kept.id);
    if (conversation) conversation.add(entry(kept));
    else {
      conversation = new Conversation(entry(kept));
      list.append(conversation.node);
    }
    const before = kept.previous_response_id;
    if (before && !continued.has(before)) continued.set(before, conversation);
  }

  function mark() {
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === selected) {
        link.setAttribute("aria-current", "true");
        const earlier = link.closest("details");
        if (earlier) earlier.open = true;
      } else link.removeAttribute("aria-current");
    }
    node.classList.toggle("open", Boolean(selected));
  }

  /** @param {string} id */
  async function open(id) {
    selected = id;
    mark();
    if (!id) return opened.replaceChildren(h("p", {class: "empty"}, "Choose a response to read its conversation."));
    opened.replaceChildren(h("p", {class: "quiet"}, "Loading…"));
    const back = h("a", {href: "#history", class: "back"}, icon("back"), "All");
    try {
      const turns = await chain(id);
      if (selected !== id) return undefined;
      const last = turns[turns.length - 1];
      const remove = button("plain bad", () => forget(id, remove), "Delete");
      const actions = h("div", {class: "tools"}, back, h("a", {href: `#playground/${id}`, class: "button"}, "Continue"), copyButton(() => id, id, `${id.slice(0, 12)}…`), remove);
      opened.replaceChildren(actions, ...turns.map(({response, input}) =>
        keptTurn(response, input, response === last.response ? null : h("a", {href: `#playground/${response.id}`}, "Fork from here"))));
    } catch (error) {
      if (selected === id) opened.replaceChildren(back, h("p", {class: "empty"}, sentence(error)));
    }
    return undefined;
  }

  /** @param {string} id @param {HTMLButtonElement} remove */
  async function forget(id, remove) {
    if (!remove.dataset.sure) {
      remove.dataset.sure = "yes";
      remove.textContent = "Delete for good?";
      setTimeout(() => { delete remove.dataset.sure; remove.textContent = "Delete"; }, 4000);
      return;
    }
    try {
      await json(pathOf(id), {method: "DELETE"});
      announce("Deleted.");
      location.hash = "#history";
      load(true);
    } catch (error) {
      announce(sentence(error));
    }
  }

  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => load(true), SEARCH_AFTER);
  });
  model.addEventListener("change", () => load(true));
  return {node, show: (rest) => (load(true), open(rest), undefined)};
}

/** A conversation in the list: its latest turn, and the earlier ones on request. */
class Conversation {
  /** @param {HTMLLIElement} latest */
  constructor(latest) {
    this.node = latest;
    this.count = h("summary", {});
    this.earlier = h("ul", {});
  }

  /** @param {HTMLLIElement} turn */
  add(turn) {
    this.earlier.append(turn);
    const number = this.earlier.childElementCount;
    this.count.textContent = number === 1 ? "1 earlier turn" : `${number} earlier turns`;
    if (number === 1) this.node.append(h("details", {}, this.count, this.earlier));
  }
}
