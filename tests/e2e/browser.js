// What pages try with the servers of the test. Each function is a page; it gives back what it found.

const BODY = JSON.stringify({model: "gpt-5.5", stream: true, messages: [{role: "user", content: "attack"}]});
const ASKED = JSON.stringify({model: "gpt-5.5", input: "attack", background: true});
const QUERY = new URLSearchParams(location.search);
const PATIENCE = 3000; // milliseconds

async function run(page) {
  const found = await page().catch(String);
  await fetch(`http://127.0.0.1:${QUERY.get("pages")}/found/${page.name}`, {method: "POST", mode: "no-cors", body: JSON.stringify(found)});
  if (QUERY.get("next")) location = QUERY.get("next");
}

// A page that nobody knows, against each server: what it could read.
async function stranger() {
  const found = {};
  for (const server of QUERY.get("servers").split(",")) {
    const tries = Object.entries(ATTACKS).map(async ([name, attack]) => [name, await attack(server).catch((error) => error.name)]);
    found[server] = Object.fromEntries(await Promise.all(tries));
  }
  return found;
}

const ATTACKS = {
  fetch_json: (server) => read(`${server}/v1/chat/completions`, {method: "POST", headers: {"Content-Type": "application/json"}, body: BODY}),
  fetch_simple: (server) => read(`${server}/v1/chat/completions`, {method: "POST", headers: {"Content-Type": "text/plain"}, body: BODY}),
  fetch_guessed_key: (server) => read(`${server}/v1/chat/completions`, {method: "POST", headers: {"Content-Type": "application/json", Authorization: "Bearer guess"}, body: BODY}),
  fetch_no_cors: (server) => read(`${server}/v1/responses`, {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: ASKED}),
  fetch_no_cors_json: (server) => read(`${server}/v1/responses`, {method: "POST", mode: "no-cors", body: new Blob([ASKED], {type: "application/json"})}),
  fetch_models: (server) => read(`${server}/v1/models`),
  fetch_models_no_cors: (server) => read(`${server}/v1/models`, {mode: "no-cors"}),
  fetch_cookies: (server) => read(`${server}/v1/models`, {credentials: "include"}),
  fetch_delete: (server) => read(`${server}/v1/responses/resp_1`, {method: "DELETE"}),
  beacon: async (server) => { navigator.sendBeacon(`${server}/v1/chat/completions`, BODY); return nothing; },
  beacon_json: async (server) => { navigator.sendBeacon(`${server}/v1/responses`, new Blob([ASKED], {type: "application/json"})); return nothing; },
  event_source: (server) => heard(new EventSource(`${server}/v1/responses/resp_1?stream=true`)),
  web_socket: (server) => heard(new WebSocket(`${server.replace("http", "ws")}/v1/responses`)),
  image: (server) => loaded("img", `${server}/v1/models`),
  script: (server) => loaded("script", `${server}/v1/models`),
  style: (server) => loaded("link", `${server}/v1/models`),
  frame: (server) => framed((name) => { document.querySelector(`iframe[name="${name}"]`).src = `${server}/v1/models`; }),
  form: (server) => framed((name) => posted(`${server}/v1/chat/completions`, name, "text/plain", BODY)),
  form_url: (server) => framed((name) => posted(`${server}/v1/responses`, name, "application/x-www-form-urlencoded", ASKED)),
  form_file: (server) => framed((name) => posted(`${server}/v1/responses`, name, "multipart/form-data", ASKED)),
};
const nothing = "";

async function read(url, options) {
  const answer = await fetch(url, {signal: AbortSignal.timeout(PATIENCE), ...options});
  return answer.status + (await answer.text());
}

function heard(source) {
  return new Promise((done) => {
    source.onopen = () => done("open");
    source.onmessage = (message) => done(message.data);
    source.onerror = () => done(nothing);
  }).finally(() => source.close());
}

function loaded(tag, url) {
  return new Promise((done) => {
    const element = Object.assign(document.createElement(tag), {src: url, href: url, rel: "stylesheet"});
    element.onload = () => done(`${element.naturalWidth} ${document.styleSheets.length}`);
    element.onerror = () => done(nothing);
    document.body.append(element);
  });
}

let frames = 0;
function framed(go) {
  return new Promise((done) => {
    const frame = Object.assign(document.createElement("iframe"), {name: `frame${++frames}`});
    document.body.append(frame);
    frame.onload = () => {
      try {
        done(frame.contentWindow.document.body.innerText);
      } catch (error) {
        done(error.name);
      }
    };
    go(frame.name);
  });
}

// A form whose text/plain body is JSON: the "=" between name and value hides in a member of its own.
function posted(url, target, enctype, body) {
  const form = Object.assign(document.createElement("form"), {action: url, method: "post", target, enctype});
  form.append(Object.assign(document.createElement("input"), {name: `${body.slice(0, -1)},"user":"`, value: `"}`}));
  document.body.append(form);
  form.submit();
}

// A page whose own name leads to the server by now: the browser lets it read the answers. It tries until its name has moved.
async function rebinder() {
  const json = {method: "POST", headers: {"Content-Type": "application/json"}, body: BODY};
  return Promise.all([read("/v1/chat/completions", json), read("/v1/models"), read("/health"), read("/v1/responses/resp_1?stream=true"), read("/openapi.json")]);
}

// A page that the operator has named: it may stream, with the headers that the OpenAI SDK sends, and read every header.
async function friend() {
  const server = QUERY.get("servers").split(",")[0];
  const headers = {"Content-Type": "application/json", Authorization: "Bearer none", "X-Stainless-Lang": "js", "Idempotency-Key": "1"};
  const body = JSON.stringify({stream: true, messages: [{role: "user", content: "friend"}]});
  const answer = await fetch(`${server}/v1/chat/completions`, {method: "POST", headers, body});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const times = [];
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    times.push(performance.now());
    text += piece.value;
  }
  const models = await (await fetch(`${server}/v1/models`)).json();
  return {status: answer.status, id: answer.headers.get("x-request-id"), text, times, models: models.data.length};
}
