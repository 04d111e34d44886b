// The OpenAPI document as a page: routes, their requests and answers. Built from /openapi.json alone.

import {json, sentence} from "./api.js";
import {byId, h} from "./dom.js";

/** @typedef {any} Schema a JSON Schema */

const main = byId("main", HTMLElement);
const routes = byId("routes", HTMLElement);
const DEEPEST = 6;
/** @type {Record<string, Schema>} */
let schemas = {};

/** @param {Schema} schema @returns {[string, Schema]} its name, and the schema itself */
function resolved(schema) {
  const name = /^#\/components\/schemas\/(.+)$/.exec(schema?.$ref ?? "")?.[1];
  return name ? [name, schemas[name] ?? {}] : ["", schema ?? {}];
}

/** @param {Schema} schema @returns {string} a type in words */
function words(schema) {
  const [name, found] = resolved(schema);
  if (name) return name.split(".").at(-1) ?? name; // a name in both APIs has a module prefix
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((/** @type {unknown} */ one) => JSON.stringify(one)).join(" | ");
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return choices.map(words).join(" | ");
  if (found.type === "array") {
    const each = found.items ? words(found.items) : "";
    return each.includes(" | ") ? `(${each})[]` : each ? `${each}[]` : "array";
  }
  return Array.isArray(found.type) ? found.type.join(" | ") : found.type ?? "anything";
}

/** @param {Schema} schema @param {number} depth @returns {HTMLElement | null} */
function members(schema, depth) {
  const [, found] = resolved(schema);
  if (depth > DEEPEST) return null;
  const properties = Object.entries(found.properties ?? {});
  if (!properties.length) {
    const inner = [...(found.anyOf ?? found.oneOf ?? []), ...(found.items && typeof found.items === "object" ? [found.items] : [])];
    const named = inner.filter((/** @type {Schema} */ one) => resolved(one)[0] || one.properties || one.items);
    if (!named.length) return null;
    return h("div", {class: "members"}, ...named.map((/** @type {Schema} */ one) => opening(words(one), "", one, depth)));
  }
  return h("div", {class: "members"}, ...properties.map(([name, part]) =>
    opening(name, `${words(part)}${found.required?.includes(name) ? "" : ", optional"}`, part, depth)));
}

/** @param {Schema} schema @returns {boolean} */
function hasMore(schema) {
  const [, part] = resolved(schema);
  const inner = [...(part.anyOf ?? part.oneOf ?? []), ...(part.items && typeof part.items === "object" ? [part.items] : [])];
  return Boolean(part.properties) || inner.some((one) => resolved(one)[0] || hasMore(one));
}

/** @param {string} name @param {string} type @param {Schema} schema @param {number} depth */
function opening(name, type, schema, depth) {
  const [, found] = resolved(schema);
  const about = found.description ? h("span", {class: "quiet"}, found.description) : null;
  const head = [h("code", {}, name), " ", h("span", {class: "type"}, type)];
  if (!hasMore(schema) || depth >= DEEPEST) return h("div", {class: "member"}, ...head, " ", about);
  const details = h("details", {class: "member"}, h("summary", {}, ...head), about);
  details.addEventListener("toggle", () => {
    const more = details.dataset.made ? null : members(schema, depth + 1);
    details.dataset.made = "yes";
    if (more) details.append(more);
  });
  return details;
}

/** @param {string} title @param {Record<string, {schema: Schema, "x-event-schema"?: Schema}>} content */
function contents(title, content) {
  return Object.entries(content).map(([kind, {schema, "x-event-schema": event}]) => h("div", {class: "content"},
    h("h3", {}, title, h("span", {class: "quiet"}, ` ${kind}${event ? ", each event" : ""}`)), members(event ?? schema, 0) ?? h("p", {class: "quiet"}, words(event ?? schema))));
}

/** @param {string} path @param {string} method @param {any} operation */
function route(path, method, operation) {
  const body = operation.requestBody?.content;
  const parameters = operation.parameters ?? [];
  const open = operation.security?.length === 0 ? "No key needed." : "";
  routes.append(h("li", {}, h("a", {href: `#${operation.operationId}`}, h("span", {class: `method ${method}`}, method), h("span", {class: "path"}, path))));
  return h("section", {id: operation.operationId, class: "route"},
    h("h2", {}, h("span", {class: `method ${method}`}, method), h("code", {}, path)),
    h("p", {}, `${operation.summary}. `, h("span", {class: "quiet"}, open)),
    parameters.length ? h("div", {class: "content"}, h("h3", {}, "Parameters"), h("div", {class: "members"}, ...parameters.map((/** @type {any} */ one) =>
      opening(one.name, `${words(one.schema)}, in the ${one.in}`, one.schema, DEEPEST)))) : null,
    ...(body ? contents("Request", body) : []),
    ...contents("Answer", operation.responses["200"]?.content ?? {}));
}

try {
  const document_ = await json("openapi.json");
  schemas = document_.components.schemas;
  const shown = Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(/** @type {Record<string, any>} */ (methods)).map(([method, operation]) => route(path, method, operation)));
  const [error] = Object.values(document_.paths).map((/** @type {any} */ methods) => Object.values(methods)[0]?.responses?.default?.content).filter(Boolean);
  main.replaceChildren(h("h1", {}, "API reference"),
    h("p", {}, `codex-proxy ${document_.info.version}. ${document_.info.summary} A key is sent as `, h("code", {}, "Authorization: Bearer KEY"), ". The document itself is ", h("a", {href: "openapi.json"}, "openapi.json"), "."),
    ...shown, error ? h("section", {id: "errors", class: "route"}, h("h2", {}, "Errors"), ...contents("Every error", error)) : "");
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  main.replaceChildren(h("p", {class: "pad"}, sentence(error)));
}
