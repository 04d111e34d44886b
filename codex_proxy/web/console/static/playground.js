// Playground: a conversation over the Responses API, in the background, so that it survives a reload or a lost connection.

import {ApiError, chain, events, isGone, json, pathOf, request, sentence} from "./api.js";
import {choices} from "./choices.js";
import {announce, button, codeBlock, h, icon, mark} from "./dom.js";
import {asCurl, asPython} from "./snippets.js";
import {AnswerView, ENDED, inputNodes, keptTurn, userMessage} from "./transcript.js";

/** @typedef {import("../types").Body} Body */
/** @typedef {import("../types").Answer} Answer */

const OPEN = "codex-proxy.open"; // in sessionStorage: the response that this tab shows
const MOST_IMAGE = 8_000_000; // bytes
const WAITS = [300, 1000, 2000, 4000, 8000]; // milliseconds between attempts to resume

/** @returns {import("../types").Place} */
export function create() {
  const log = h("div", {class: "log"});
  const examples = ["What is in this directory?", "Run `uname -a`", "Explain what you may do here."].map((text) => button("", () => { input.value = text; submit(); }, text));
  const hello = h("div", {class: "hello"}, h("p", {}, "Ask Codex something. It works in the directory below, in its sandbox."), h("p", {class: "examples"}, ...examples));
  const input = h("textarea", {rows: "2", dir: "auto", "aria-label": "Message", placeholder: "Ask Codex. Enter sends, Shift+Enter breaks the line, Escape stops."});
  const send = h("button", {type: "submit", class: "primary"}, "Send");
  const fresh = button("plain", anew, "New");
  const code = button("plain", showCode, "As code");
  const images = h("div", {class: "images"});
  const file = h("input", {type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", hidden: true});
  const attach = button("plain", () => file.click(), icon("image"), "Image");
  const {node: selects, chosen} = choices();
  const status = h("span", {class: "status"});
  const note = h("p", {class: "status", role: "status"});
  const pinned = new Pinned();
  const form = h("form", {class: "composer", "aria-label": "Message to Codex"}, pinned.button, images, input, note,
    h("div", {class: "actions"}, selects, status, attach, file, send));
  const dialog = h("dialog", {"aria-label": "The last request as code"});
  const node = h("div", {class: "playground"}, h("div", {class: "top"}, h("h1", {}, "Playground"), h("div", {class: "tools"}, code, fresh)), hello, log, form, dialog);

  /** `running`: the id of the running response, "" before it has one; `next`: send the message when it is done @type {{id: string | null, running: string | null, body: Body | null, attached: string[], stop: boolean, next: boolean}} */
  const state = {id: null, running: null, body: null, attached: [], stop: false, next: false};

  function buttons() {
    const runs = state.running !== null;
    attach.hidden = runs;
    send.textContent = runs ? "Stop" : "Send";
    send.classList.toggle("primary", !runs);
    code.disabled = !state.body;
    fresh.disabled = runs || !log.childElementCount;
    hello.hidden = log.childElementCount > 0;
  }

  /** Show a turn to its end: a new one, or a stored one that still runs. @param {HTMLElement[]} said @param {Body | null} body @param {Answer} [running] */
  async function run(said, body, running) {
    const view = new AnswerView({onUpdate: () => pinned.keep(), status, began: running?.created_at});
    const turn = h("section", {class: "turn"}, ...said, view.node);
    log.append(turn);
    Object.assign(state, {body, running: running?.id ?? ""});
    buttons();
    pinned.stick();
    try {
      await follow(view, body);
    } catch (error) {
      view.fail(sentence(error));
    }
    if (body && view.failed) {
      view.node.append(button("", () => {
        if (state.running !== null) return;
        turn.remove();
        run(said, body);
      }, "Try again"));
    }
    done(view);
  }

  /** Follow a response to its end, even if the connection breaks. @param {AnswerView} view @param {Body | null} body */
  async function follow(view, body) {
    let [seen, attempt] = [-1, 0];
    for (;;) {
      try {
        const answer = await (state.running
          ? request(`${pathOf(state.running)}?stream=true&starting_after=${seen}`)
          : request("v1/responses", {method: "POST", body: {...body, background: true, stream: true}}));
        for await (const {data} of events(answer)) {
          if (data.response?.id && state.running !== data.response.id) {
            state.running = data.response.id;
            remember(data.response.id);
            if (state.stop) stop();
          }
          if (data.sequence_number > seen) view.apply(data);
          [seen, attempt] = [Math.max(seen, data.sequence_number ?? seen), 0];
          if (view.ended) return;
        }
        const kept = await json(pathOf(state.running ?? ""));
        if (ENDED.has(kept.status)) return view.end(kept);
      } catch (error) {
        const again = isGone(error) || (error instanceof ApiError && error.status >= 500);
        if (!again || !state.running) throw error;
        view.state("The connection is lost. Trying again", true);
      }
      await new Promise((go) => setTimeout(go, WAITS[Math.min(attempt++, WAITS.length - 1)]));
    }
  }

  /** @param {AnswerView} view */
  function done(view) {
    if (view.ended && !view.failed) state.id = view.response?.id ?? state.id;
    const next = state.next && view.response?.status === "completed";
    Object.assign(state, {running: null, stop: false});
    remember(state.id);
    buttons();
    announce(view.foot.textContent ?? "");
    tell("");
    if (next) submit();
    if (node.isConnected && document.activeElement === document.body) input.focus();
  }

  /** Say something below the message. @param {string} text @param {boolean} [next] */
  function tell(text, next = false) {
    note.textContent = text;
    state.next = next;
  }

  async function stop() {
    if (state.running === null) return;
    status.replaceChildren(mark("work"), "Stopping");
    if (state.running) await json(`${pathOf(state.running)}/cancel`, {method: "POST"}).catch((error) => tell(sentence(error)));
    else state.stop = true; // once it has an id
  }

  function submit() {
    if (state.running !== null) return stop();
    const text = input.value.trim();
    if (!text && !state.attached.length) return undefined;
    const content = state.attached.length
      ? [...(text ? [{type: "input_text", text}] : []), ...state.attached.map((url) => ({type: "input_image", image_url: url}))]
      : text;
    const {model, mode, effort, sandbox, cwd} = chosen();
    /** @type {Body} */
    const body = {
      ...(model ? {model} : {}), input: typeof content === "string" ? content : [{role: "user", content}],
      reasoning: {...(effort ? {effort} : {}), summary: "auto"},
      ...(state.id ? {previous_response_id: state.id} : {}),
      x_codex: {...(mode ? {mode} : {}), ...(sandbox && mode !== "chat" ? {sandbox} : {}), ...(cwd ? {cwd} : {})},
    };
    input.value = "";
    state.attached = [];
    images.replaceChildren();
    return run([userMessage(content)], body);
  }

  function anew() {
    Object.assign(state, {id: null, body: null});
    remember(null);
    log.replaceChildren();
    buttons();
    input.focus();
  }

  /** Have a reload show this response, and not the one of a link that led here. @param {string | null} id */
  function remember(id) {
    if (id) sessionStorage.setItem(OPEN, id);
    else sessionStorage.removeItem(OPEN);
    if (location.hash.startsWith("#playground/")) history.replaceState(null, "", "#playground");
  }

  /** Show a stored conversation up to a response, to be continued from there. @param {string} id */
  async function open(id) {
    log.replaceChildren(h("p", {class: "quiet"}, "Loading…"));
    let turns;
    try {
      turns = await chain(id);
    } catch (error) {
      remember(null);
      log.replaceChildren(h("p", {class: "quiet"}, sentence(error)));
      return buttons();
    }
    const last = turns.at(-1);
    const running = last && !ENDED.has(last.response.status) ? turns.pop() : undefined;
    log.replaceChildren(...turns.map(({response, input: items}) => keptTurn(response, items)));
    state.id = turns.at(-1)?.response.id ?? null;
    state.body = null;
    remember(id);
    buttons();
    pinned.stick();
    return running && run(inputNodes(running.input), null, running.response);
  }

  /** @param {Blob} blob */
  function take(blob) {
    if (!blob.type.startsWith("image/")) return tell("Only images can be attached.");
    if (blob.size > MOST_IMAGE) return tell("This image is larger than 8 MB.");
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      const url = String(reader.result);
      const picture = button("", () => {
        state.attached = state.attached.filter((one) => one !== url);
        picture.remove();
        input.focus();
      }, h("img", {src: url, alt: "Remove the image"}));
      state.attached.push(url);
      images.append(picture);
    });
    reader.readAsDataURL(blob);
    return undefined;
  }

  function showCode() {
    if (!state.body) return;
    dialog.replaceChildren(h("div", {class: "top"}, h("h2", {}, "The last request"), button("", () => dialog.close(), "Close")),
      h("h3", {}, "As curl"), codeBlock(asCurl(state.body), "curl"), h("h3", {}, "As Python"), codeBlock(asPython(state.body), "Python"));
    dialog.showModal();
  }

  form.addEventListener("submit", (event) => (event.preventDefault(), submit()));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (state.running === null) submit();
      else if (input.value.trim()) tell("Sent when the answer is done.", true);
    }
  });
  input.addEventListener("input", () => tell(""));
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !dialog.open) stop();
  });
  input.addEventListener("paste", (event) => [...(event.clipboardData?.files ?? [])].forEach(take));
  file.addEventListener("change", () => ([...(file.files ?? [])].forEach(take), (file.value = "")));
  buttons();
  let shown = "";
  return {
    node,
    show(rest) {
      const id = rest || (shown ? "" : sessionStorage.getItem(OPEN) ?? "");
      shown = "yes";
      if (id && id !== state.id && state.running === null) open(id);
      else if (log.childElementCount) pinned.stick();
      input.focus({preventScroll: true});
    },
    hide: () => dialog.close(),
  };
}

/** Keeps the end of the page in view, unless the user has scrolled away from it. */
class Pinned {
  constructor() {
    this.button = button("bottom plain", () => this.stick(), "Latest ↓");
    this.button.hidden = this.on = true;
    addEventListener("scroll", () => {
      this.button.hidden = this.on = innerHeight + scrollY >= document.documentElement.scrollHeight - 48;
    }, {passive: true});
  }

  keep() {
    if (this.on) scrollTo({top: document.documentElement.scrollHeight, behavior: "instant"});
    else this.button.hidden = false;
  }

  stick() {
    this.on = true;
    this.button.hidden = true;
    this.keep();
  }
}
