// Connect: the base URL and the settings of popular clients, ready to copy.

import {baseUrl, json} from "./api.js";
import {codeBlock, copyButton, h} from "./dom.js";
import {live} from "./live.js";
import {clients} from "./snippets.js";

/** @returns {import("../types").Place} */
export function create() {
  const list = h("div", {class: "snippets"});
  const key = h("p", {class: "quiet"});
  const node = h("div", {},
    h("h1", {}, "Connect"),
    h("p", {}, "Any client of the OpenAI API works: give it this base URL and any model that the server lists."),
    h("div", {class: "address"}, h("code", {}, baseUrl), copyButton(() => baseUrl, "the base URL")),
    key, list);
  return {
    node,
    async show() {
      key.replaceChildren(...(live.status?.you.needs_key
        ? ["Each client needs its own key. On the server, ", h("code", {}, "codex-proxy keys add NAME"), " creates one and shows it once."]
        : ["This server asks for no key. A client that wants one may send anything."]));
      const model = await json("v1/models").then((models) => models.data[0]?.id).catch(() => null);
      list.replaceChildren(...clients(model ?? "gpt-5.5").map(({name, hint, code}) =>
        h("section", {"aria-label": name}, h("h2", {}, name), h("p", {class: "quiet"}, hint), codeBlock(code, `configuration of ${name}`))));
    },
  };
}
