// The shell: the places and their addresses, the server's state in a word or two, and what to show without a server or a key.

import {key} from "./api.js";
import {announce, button, byId, h, icon, setText} from "./dom.js";
import * as connect from "./connect.js";
import * as history from "./history.js";
import * as now from "./now.js";
import * as playground from "./playground.js";
import {again, follow, live, watch} from "./live.js";
import {beat} from "./times.js";

/** The places, in order. */
const PLACES = /** @type {const} */ ([
  ["now", "Now", now.create],
  ["playground", "Playground", playground.create],
  ["history", "History", history.create],
  ["connect", "Connect", connect.create],
]);

const main = byId("main", HTMLElement);
const state = byId("state", HTMLElement);
/** @type {Map<string, import("../types").Place>} */
const made = new Map();
let shown = "";

const links = PLACES.map(([name, label]) => h("a", {href: `#${name}`}, icon(name), h("span", {}, label)));
byId("places", HTMLElement).append(...links.map((link) => h("li", {}, link)));

const field = h("input", {type: "password", autocomplete: "off", "aria-label": "API key", spellcheck: "false"});
const problem = h("p", {role: "alert"});
const keyForm = h("form", {class: "card"}, h("h1", {}, "This server needs a key"),
  h("p", {}, "Ask the operator for one. It stays in this tab and is sent to this server only."),
  h("div", {class: "address"}, field, h("button", {type: "submit", class: "primary"}, "Continue")), problem);
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!field.value.trim()) return;
  key.set(field.value.trim());
  field.value = "";
  problem.textContent = "";
  again();
});
const lost = h("div", {class: "banner", role: "status", hidden: true});

function where() {
  let address = location.hash.slice(1);
  try {
    address = decodeURIComponent(address);
  } catch { /* as it is */ }
  const [name, ...rest] = address.split("/");
  return {name: PLACES.some(([one]) => one === name) ? name : "now", rest: rest.join("/")};
}

function show() {
  const {name, rest} = where();
  links.forEach((link, place) => (PLACES[place][0] === name ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current")));
  if (live.link === "refused") return ask();
  if (!live.status) return wait();
  const create = PLACES.find(([one]) => one === name)?.[2] ?? now.create;
  const place = made.get(name) ?? create();
  made.set(name, place);
  if (shown && shown !== name) made.get(shown)?.hide?.();
  if (main.firstElementChild !== lost || main.children[1] !== place.node) main.replaceChildren(lost, place.node);
  document.title = `${PLACES.find(([one]) => one === name)?.[1]} · codex-proxy`;
  shown = name;
  place.show(rest);
  return beat();
}

function ask() {
  shown = "";
  problem.textContent = live.problem || (live.wrongKey ? "The server does not know this key." : "");
  if (main.firstElementChild !== keyForm) main.replaceChildren(keyForm);
  field.focus();
}

function wait() {
  shown = "";
  const gone = live.link === "lost";
  main.replaceChildren(gone
    ? h("div", {class: "card"}, h("h1", {}, live.problem || "The server does not answer"), h("p", {}, "This page tries again by itself. Start the server with ", h("code", {}, "codex-proxy serve"), "."), button("", again, "Try now"))
    : h("p", {class: "quiet pad"}, "Connecting…"));
}

let before = "";
function update() {
  const {link, status} = live;
  const words = link === "lost" ? "no connection" : link === "refused" ? "key needed" : !status ? "connecting" : status.ready ? "ready" : "not ready";
  const kind = link === "open" && status ? (status.ready ? "good" : "bad") : link === "lost" ? "bad" : "wait";
  state.querySelector(".mark")?.setAttribute("data-mark", kind);
  setText(byId("state-text", HTMLElement), words);
  setText(byId("version", HTMLElement), status ? `codex-proxy ${status.version}` : "");
  if (!lost.hidden && link === "open" && shown !== "playground") show(); // what it could not load
  lost.hidden = link !== "lost";
  setText(lost, live.problem || "The connection is lost. What you see may be old; trying again.");
  const face = link === "refused" ? `refused ${live.problem} ${live.wrongKey}` : status ? "there" : link;
  if (face !== before) {
    before = face;
    if (words === "no connection") announce("The server does not answer.");
    show();
  }
}

addEventListener("hashchange", () => {
  main.focus({preventScroll: true});
  scrollTo(0, 0);
  show();
});
watch(update);
follow();
