// Playground: a conversation over the Responses API, in the background, so that it survives a reload or a lost connection.

import {ApiError, events, isGone, json, request, sentence} from "./api.js";
import {announce, button, codeBlock, h, icon} from "./dom.js";
import {live, watch} from "./live.js";
import {asCurl, asPython} from "./snippets.js";
import {AnswerView, ENDED, keptTurn, userMessage} from "./transcript.js";
import {chain, pathOf} from "./kept.js";

/** @typedef {import("../types").Body} Body */

const CHOICES = "codex-proxy.choices"; // in localStorage: the latest choices
const OPEN = "codex-proxy.open"; // in sessionStorage: the response that this tab shows
const MOST_IMAGE = 8_000_000; // bytes
const WAITS = [300, 1000, 2000, 4000, 8000]; // milliseconds between attempts to resume

/** @returns {import("../types").Place} */
export function create() {
  const log = h("div", {class: "log"});
  const examples = ["What is in this directory?", "Run `uname -a`", "Explain what you may do here."].map((text) => button("", () => { input.value = text; submit(); }, text));
  const hello = h("div", {class: "hello"}, h("p", {}, "Ask Codex something. It works in the directory below, in its sandbox."), h("p", {class: "examples"}, ...examples));
  const input = h("textarea", {rows: "2", "aria-label": "Message", placeholder: "Ask Codex. Enter sends, Shift+Enter breaks the line, Escape stops."});
  const send = h("button", {type: "submit", class: "primary"}, "Send");
  const fresh = button("plain", anew, "New");
  const code = button("plain", showCode, "As code");
  const images = h("div", {class: "images"});
  const file = h("input", {type: "file", accept: "image/png,image/jpeg,image/webp,image/gif", class: "unseen", tabindex: "-1", "aria-label": "Image"});
  const attach = button("plain", () => file.click(), icon("image"), "Image");
  const select = (/** @type {string} */ label) => h("select", {"aria-label": label, onchange: choose});
  const selects = {model: select("Model"), mode: select("Mode"), effort: select("Effort"), sandbox: select("Sandbox"), cwd: select("Directory")};
  const status = h("span", {class: "status"});
  const next = h("p", {class: "status", role: "status", hidden: true}, "Sent when the answer is done.");
  const pinned = new Pinned();
  const form = h("form", {class: "composer", "aria-label": "Message to Codex"}, pinned.button, images, input, next,
    h("div", {class: "actions"}, h("div", {class: "choices"}, ...Object.values(selects)), status, attach, file, send));
  const dialog = h("dialog", {"aria-label": "The last request as code"});
  const node = h("div", {class: "playground"}, h("div", {class: "top"}, h("h1", {}, "Playground"), h("div", {class: "tools"}, code, fresh)), hello, log, form, dialog);

  /** @type {{id: string | null, running: string | null, body: Body | null, attached: string[], stop: boolean}} */
  const state = {id: null, running: null, body: null, attached: [], stop: false};
  /** @type {any[]} */
  let models = [];

  function buttons() {
    attach.hidden = state.running !== null;
    send.textContent = state.running !== null ? "Stop" : "Send";
    send.classList.toggle("primary", state.running === null);
    code.disabled = !state.body;
    fresh.disabled = state.running !== null || !log.childElementCount;
    hello.hidden = log.childElementCount > 0;
  }

  /** @param {Body} body @param {unknown} shown */
  async function run(body, shown) {
    const view = new AnswerView({onUpdate: () => pinned.keep(), status});
    log.append(h("section", {class: "turn"}, userMessage(shown), view.node));
    state.body = body;
    state.running = "";
    buttons();
    pinned.stick();
    try {
      const answer = await request("v1/responses", {method: "POST", body: {...body, background: true, stream: true}});
      await follow(view, answer);
    } catch (error) {
      view.fail(sentence(error));
      view.node.append(retry(body, shown, view));
    }
    done(view);
  }

  /** @param {Body} body @param {unknown} shown @param {AnswerView} view */
  function retry(body, shown, view) {
    return button("", () => {
      if (state.running !== null) return;
      view.node.parentElement?.remove();
      run(body, shown);
    }, "Try again");
  }

  /** Follow a response to its end, even if the connection breaks. @param {AnswerView} view @param {Response} first */
  async function follow(view, first) {
    let [answer, seen, attempt] = [/** @type {Response | null} */ (first), -1, 0];
    for (;;) {
      try {
        answer ??= await request(`${pathOf(state.running ?? "")}?stream=true&starting_after=${seen}`);
        for await (const {data} of events(answer)) {
          if (data.response?.id && state.running !== data.response.id) {
            state.running = data.response.id;
            remember(data.response.id);
            if (state.stop) stop();
          }
          if (data.sequence_number > seen) view.apply(data);
          [seen, attempt] = [Math.max(seen, data.sequence_number ?? seen), 0];
        }
        const kept = state.running ? await json(pathOf(state.running)) : null;
        if (!kept || ENDED.has(kept.status)) return kept && view.end(kept);
      } catch (error) {
        const again = isGone(error) || (error instanceof ApiError && error.status >= 500);
        if (!again || !state.running) throw error;
        view.state("The connection is lost. Trying again", true);
      }
      answer = null;
      await new Promise((go) => setTimeout(go, WAITS[Math.min(attempt++, WAITS.length - 1)]));
    }
  }

  /** @param {AnswerView} view */
  function done(view) {
    const ended = view.response && ENDED.has(view.response.status);
    if (ended && view.response?.status !== "failed") state.id = view.response?.id ?? state.id;
    Object.assign(state, {running: null, stop: false});
    remember(state.id);
    buttons();
    announce(view.foot.textContent ?? "");
    if (!next.hidden && view.response?.status === "completed") submit();
    next.hidden = true;
    if (node.isConnected && document.activeElement === document.body) input.focus();
  }

  async function stop() {
    if (state.running === null) return;
    const id = state.running;
    if (id) await json(`${pathOf(id)}/cancel`, {method: "POST"}).catch((error) => announce(sentence(error)));
    else state.stop = true; // once it has an id
  }

  function submit() {
    if (state.running !== null) return stop();
    const text = input.value.trim();
    if (!text && !state.attached.length) return undefined;
    /** @type {unknown} */
    let content = text;
    if (state.attached.length) {
      content = [...(text ? [{type: "input_text", text}] : []), ...state.attached.map((url) => ({type: "input_image", image_url: url}))];
    }
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
    return run(body, content);
  }

  function chosen() {
    return /** @type {Record<keyof typeof selects, string>} */ (Object.fromEntries(Object.entries(selects).map(([name, select]) => [name, select.value])));
  }

  function choose() {
    efforts();
    localStorage.setItem(CHOICES, JSON.stringify(chosen()));
  }

  function anew() {
    Object.assign(state, {id: null, body: null});
    remember(null);
    log.replaceChildren();
    buttons();
    input.focus();
    if (location.hash !== "#playground") history.replaceState(null, "", "#playground");
  }

  /** @param {HTMLSelectElement} select @param {[string, string][]} options @param {string} [wanted] */
  function fill(select, options, wanted) {
    const before = wanted ?? select.value;
    select.replaceChildren(...options.map(([value, label]) => h("option", {value}, label)));
    select.value = options.some(([value]) => value === before) ? before : options[0]?.[0] ?? "";
  }

  function efforts() {
    const model = models.find((one) => one.id === selects.model.value);
    const known = model?.x_codex?.reasoning_efforts ?? [];
    fill(selects.effort, [["", "default effort"], ...known.map((/** @type {string} */ one) => /** @type {[string, string]} */ ([one, `${one} effort`]))]);
    const isChat = selects.mode.value === "chat";
    selects.sandbox.disabled = selects.cwd.disabled = isChat;
    selects.sandbox.title = isChat ? "Chat mode runs no commands." : "What commands may do";
  }

  let filled = "";
  async function choices() {
    const you = live.status?.you;
    if (!you) return;
    const told = JSON.stringify([you, live.status?.ready]);
    if (told === filled) return;
    filled = told;
    const saved = savedChoices();
    fill(selects.mode, you.default_mode === "chat" ? [["chat", "chat"], ["agent", "agent"]] : [["agent", "agent"], ["chat", "chat"]], saved.mode);
    fill(selects.sandbox, you.sandboxes.map((one) => [one, one]), saved.sandbox);
    fill(selects.cwd, you.workspaces.map((one) => [one, one.split("/").pop() || one]), saved.cwd);
    selects.cwd.title = you.workspaces.join("\n");
    const listed = await json("v1/models").catch(() => null);
    models = (listed?.data ?? []).filter((/** @type {any} */ one) => !one.x_codex || one.x_codex.model === one.id);
    fill(selects.model, models.length ? models.map((one) => [one.id, one.id]) : [["", "default"]], saved.model);
    efforts();
    if (saved.effort) fill(selects.effort, [...selects.effort.options].map((one) => [one.value, one.text]), saved.effort);
  }

  /** @returns {Record<string, string>} */
  function savedChoices() {
    try {
      return JSON.parse(localStorage.getItem(CHOICES) ?? "{}") ?? {};
    } catch {
      return {};
    }
  }

  /** @param {string | null} id */
  function remember(id) {
    if (id) sessionStorage.setItem(OPEN, id);
    else sessionStorage.removeItem(OPEN);
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
    if (running) await goOn(running);
    return undefined;
  }

  /** @param {import("./kept.js").KeptTurn} turn still running */
  async function goOn({response, input: items}) {
    const view = new AnswerView({onUpdate: () => pinned.keep(), status});
    view.began = response.created_at * 1000;
    view.replayed = Date.now() + 1000;
    const said = items.filter((item) => item.type === "message" && item.role === "user").map((item) => userMessage(item.content));
    log.append(h("section", {class: "turn"}, ...said, view.node));
    state.running = response.id;
    buttons();
    try {
      await follow(view, await request(`${pathOf(response.id)}?stream=true`));
    } catch (error) {
      view.fail(sentence(error));
    }
    done(view);
  }

  /** @param {Blob} blob */
  function take(blob) {
    if (!blob.type.startsWith("image/")) return;
    if (blob.size > MOST_IMAGE) return announce("This image is larger than 8 MB.");
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
      else next.hidden = !input.value.trim();
    }
  });
  input.addEventListener("input", () => { next.hidden = true; });
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !dialog.open) stop();
  });
  input.addEventListener("paste", (event) => [...(event.clipboardData?.files ?? [])].forEach(take));
  file.addEventListener("change", () => ([...(file.files ?? [])].forEach(take), (file.value = "")));
  watch(choices);
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
