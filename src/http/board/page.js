// The operator's page. It shows what this node's listener tells it, and holds nothing else. Whatever came from
// somebody else is put in as text, never as markup.

import { csv, draw, ladder, table, tick } from "/parts.js";

const $ = (id) => document.getElementById(id);
const PAGES = ["login", "now", "search", "blocks", "one"];

let me = null; // {name, role, csrf} once it is known
let figures = null;
let one = null; // the verification that is looked at
const cards = new Map();
const rows = { minutes: [], calls: [], trunks: [], selftests: [], via: [], country: [], prefix: [], found: [], blocks: [], line: [] };

// What the server said no to, in its own words.
class Refused extends Error {
  constructor(status, problem) {
    const fields = (problem.errors ?? []).map((it) => `${it.field}: ${it.message ?? it.detail ?? ""}`);
    super(fields.join("; ") || problem.detail || problem.title || `The gateway answered ${status}.`);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (me?.csrf && method !== "GET") headers["x-csrf-token"] = me.csrf;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("The gateway cannot be reached.");
  }
  const text = await answer.text();
  let told = {};
  try {
    told = text ? JSON.parse(text) : {};
  } catch {
    // It is told by its status.
  }
  if (answer.ok) return told;
  if (answer.status === 401 && path !== "/admin/v1/login") leave();
  throw new Refused(answer.status, told);
}

// Carries out what a form asks for, and says beside it what went wrong.
function submits(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = form.querySelector(".error");
    error.textContent = "";
    try {
      await work(Object.fromEntries(new FormData(form)));
    } catch (wrong) {
      error.textContent = wrong.message;
    }
  });
}

function notice(text) {
  const line = $("link");
  line.textContent = text ?? "";
  line.hidden = !text;
}

// ---- who is there

async function enter() {
  me = await ask("GET", "/admin/v1/me");
  $("who").textContent = me.name ? `${me.name} (${me.role})` : "";
  $("logout").hidden = !me.csrf;
  const ranks = ["viewer", "operator", "admin"];
  for (const part of document.querySelectorAll("[data-role]")) {
    part.hidden = ranks.indexOf(me.role) < ranks.indexOf(part.dataset.role);
  }
  listen();
  route();
}

function leave() {
  me = null;
  source?.close();
  source = null;
  cards.clear();
  forget();
  $("who").textContent = "";
  $("logout").hidden = true;
  show("login");
}

submits($("login"), async (form) => {
  await ask("POST", "/admin/v1/login", form);
  $("login").reset();
  await enter();
});

$("logout").addEventListener("click", async () => {
  await ask("POST", "/admin/v1/logout", {}).catch(() => {});
  leave();
});

// ---- which page

function show(page) {
  for (const other of PAGES) $(`page-${other}`).hidden = other !== page;
  document.querySelector("nav").hidden = page === "login";
  const here = { now: "#/", search: "#/search", blocks: "#/blocks" }[page];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${$(`page-${page}`).querySelector("h1").textContent} · octothorpe`;
}

function route() {
  if (!me) return;
  // A number in full is seen once.
  $("one-told").textContent = "";
  const [page, id] = location.hash.replace(/^#\/?/, "").split("/");
  if (page === "search") {
    show("search");
  } else if (page === "blocks") {
    show("blocks");
    blocks();
  } else if (page === "v" && id) {
    show("one");
    look(decodeURIComponent(id));
  } else {
    show("now");
    now();
  }
}

window.addEventListener("hashchange", () => {
  route();
  $("main").focus();
});

// ---- now

let source = null;

function listen() {
  source?.close();
  source = new EventSource("/admin/v1/board/events");
  source.addEventListener("open", () => notice(null));
  source.addEventListener("error", () => {
    notice("The gateway cannot be reached: what is shown is what it told last. Trying again.");
    // A browser does not try again where it was refused.
    if (source?.readyState === EventSource.CLOSED) setTimeout(() => me && enter().catch(() => listen()), 2_000);
  });
  source.addEventListener("calls", (event) => {
    const changes = JSON.parse(event.data);
    if (changes.whole) cards.clear();
    for (const card of changes.cards) cards.set(card.id, card);
    calls();
    if (one && changes.cards.some((card) => card.id === one)) look(one);
  });
  source.addEventListener("figures", (event) => {
    figures = JSON.parse(event.data);
    now();
  });
}

const words = (text) => (text ?? "").replaceAll("_", " ");
const share = (it) => (it === null || it === undefined ? "–" : `${it.toFixed(1)} %`);
const seconds = (ms) => (ms === null || ms === undefined ? "–" : `${(ms / 1_000).toFixed(1)} s`);
const money = (cost) => Object.entries(cost ?? {}).map(([unit, sum]) => `${sum} ${unit}`).join(", ") || "–";
const time = (at) => (at ? new Date(at).toLocaleTimeString() : "");
const day = (at) => (at ? new Date(at).toLocaleString() : "");

const CALLS = [
  { name: "Verification", of: (it) => it.id, link: (it) => `#/v/${it.id}`, shown: (it) => `…${it.id.slice(-6)}` },
  { name: "Number", of: (it) => it.number },
  { name: "Country", of: (it) => it.country },
  { name: "Tenant", of: (it) => it.tenant },
  { name: "By", of: (it) => it.channel },
  { name: "Asks for", of: (it) => words(it.mode) },
  { name: "Via", of: (it) => it.via ?? "" },
  { name: "State", of: (it) => (it.reason ? it.status : it.state), word: true },
  { name: "Why", of: (it) => words(it.reason) },
  { name: "Since", of: (it) => it.since, shown: (it) => time(it.since) },
];

const LINES = [
  { name: "Name", of: (it) => it.name },
  { name: "By", of: (it) => it.channel },
  { name: "Attempts", of: (it) => it.attempts, number: true },
  { name: "Answered", title: "ASR: those answered among those placed", of: (it) => it.asr, shown: (it) => share(it.asr), number: true },
  { name: "Reached", title: "NER: those among the placed that came as far as the phone", of: (it) => it.ner, shown: (it) => share(it.ner), number: true },
  { name: "Pressed", title: "Those answered on which a key decided", of: (it) => it.pressed, shown: (it) => share(it.pressed), number: true },
  { name: "Voicemail", of: (it) => it.machines, shown: (it) => share(it.machines), number: true },
  { name: "To ringing", title: "PDD", of: (it) => it.pdd_ms, shown: (it) => seconds(it.pdd_ms), number: true },
  { name: "To answer", of: (it) => it.answer_ms, shown: (it) => seconds(it.answer_ms), number: true },
  { name: "To the key", of: (it) => it.key_ms, shown: (it) => seconds(it.key_ms), number: true },
  { name: "Conversion", title: "Those of verifications that were approved", of: (it) => it.conversion, shown: (it) => share(it.conversion), number: true },
  { name: "Cost", of: (it) => money(it.cost), number: true },
];

const TRUNKS = [
  { name: "Trunk", of: (it) => it.name },
  { name: "State", of: (it) => it.state, word: true },
  { name: "Why", of: (it) => it.why ?? it.dns ?? "", text: true },
  { name: "Calls", of: (it) => `${it.calls}${it.max_calls ? ` of ${it.max_calls}` : ""}`, number: true },
  { name: "Waiting", of: (it) => it.waiting, number: true },
  { name: "Last OPTIONS", text: true, of: (it) => it.hops.map((hop) => `${hop.hop}: ${hop.options ?? "not asked"}${hop.options_ms ? ` after ${hop.options_ms.toFixed(0)} ms` : ""}${hop.options_at ? `, ${time(hop.options_at)}` : ""}`).join("; ") },
  { name: "Registration", of: (it) => it.registration ?? "" },
  { name: "What to do", text: true, of: (it) => it.steps.filter((step) => step.how === "fails").map((step) => `${step.said}: ${step.remedy ?? ""}`).join("; ") },
];

const PATHS = { rfc4733: "telephone-events (RFC 4733)", inband: "tones", info: "SIP INFO" };

const SELFTESTS = [
  { name: "Trunk", of: (it) => it.trunk },
  { name: "Pressed as", of: (it) => it.path, shown: (it) => PATHS[it.path] },
  { name: "State", of: (it) => ({ true: "up", false: "down" })[it.works] ?? "unknown", word: true },
  { name: "Last call", of: (it) => it.result ?? "none yet" },
  { name: "Why", of: (it) => it.reason ?? "", text: true },
  { name: "Heard as", of: (it) => it.heard_by.join(", ") },
  { name: "At", of: (it) => it.at, shown: (it) => it.at && time(it.at) },
  { name: "Heard last", of: (it) => it.heard_at, shown: (it) => it.heard_at && time(it.heard_at) },
];

const STATUSES = ["approved", "denied", "expired", "failed", "canceled"];

const MINUTES = [
  { name: "Minute", of: (it) => it.minute, shown: (it) => time(it.minute) },
  { name: "Begun", of: (it) => it.begun, number: true },
  ...STATUSES.map((status) => ({ name: status, of: (it) => it.ended[status] ?? 0, number: true })),
];

function calls() {
  const live = [...cards.values()].sort((a, b) => (a.begun_at < b.begun_at ? 1 : -1));
  const [open, over] = [live.filter((it) => !it.reason), live.filter((it) => it.reason)];
  for (const old of over.slice(100)) cards.delete(old.id);
  rows.calls = [...open, ...over.slice(0, 100)];
  if (!$("page-now").hidden) table($("calls"), CALLS, rows.calls, "Nobody is being asked. Start a verification, or try a test call.");
}

function now() {
  if (!figures || $("page-now").hidden) return;
  $("node").textContent = `${figures.node} · ${figures.version}`;
  $("ready").hidden = figures.ready;
  $("ready").textContent = `This node takes no new verifications: ${figures.reasons.join("; ")}.`;
  const ended = (status) => figures.minutes.reduce((sum, it) => sum + (status ? (it.ended[status] ?? 0) : Object.values(it.ended).reduce((a, b) => a + b, 0)), 0);
  const voice = figures.all.find((it) => it.channel === "voice") ?? {};
  const [all, approved] = [ended(), ended("approved")];
  const costs = figures.all.map((it) => money(it.cost)).filter((it) => it !== "–");
  draw.tiles($("tiles"), [
    ["Being asked", figures.live >= figures.most_live ? `${figures.live} or more` : figures.live],
    ["Ended", all],
    ["Approved", share(all ? (approved * 100) / all : null)],
    ["Answer rate", share(voice.asr)],
    ["Key success", share(voice.pressed)],
    ["Voicemail", share(voice.machines)],
    ["To ringing (PDD)", seconds(voice.pdd_ms)],
    ["To the answer", seconds(voice.answer_ms)],
    ["To the first key", seconds(voice.key_ms)],
    ["Cost", costs.join(" + ") || "–"],
  ]);
  rows.minutes = figures.minutes;
  draw.bars($("chart"), $("legend"), figures.at, figures.minutes, STATUSES);
  table($("minutes"), MINUTES, [...figures.minutes].reverse(), "Nothing has happened within the last hour.");
  rows.trunks = figures.trunks;
  table($("trunks"), TRUNKS, figures.trunks, "There is no SIP trunk in the configuration.");
  rows.selftests = figures.selftests;
  $("tried").hidden = !figures.selftests.length;
  table($("selftests"), SELFTESTS, figures.selftests, "No trunk is tried.");
  for (const group of ["via", "country", "prefix"]) {
    rows[group] = figures[group];
    table($(group), LINES, figures[group], "Nothing has ended within the last hour.");
  }
  calls();
}

// ---- search

const FOUND = [
  { name: "Verification", of: (it) => it.id, link: (it) => `#/v/${it.id}`, shown: (it) => `…${it.id.slice(-6)}` },
  { name: "Begun", of: (it) => it.created_at, shown: (it) => day(it.created_at) },
  { name: "Number", of: (it) => it.number },
  { name: "Country", of: (it) => it.country },
  { name: "Tenant", of: (it) => it.tenant },
  { name: "By", of: (it) => it.channel },
  { name: "Via", of: (it) => it.via ?? "" },
  { name: "Status", of: (it) => it.status, word: true },
  { name: "Why", of: (it) => (it.withheld ? "withheld" : words(it.reason)) },
  { name: "Reference", of: (it) => it.reference ?? "", text: true },
];

let filters = null; // what was searched for last
let next = null; // where older ones begin
let turn = 0; // counts searches: what an earlier one brings late is passed over

async function search(more) {
  turn += 1;
  const mine = turn;
  const asked = new URLSearchParams(filters);
  if (more && next) asked.set("cursor", next);
  const told = await ask("GET", `/admin/v1/verifications?${asked}`);
  if (mine !== turn) return;
  rows.found = more ? [...rows.found, ...told.verifications] : told.verifications;
  next = told.next;
  $("more").hidden = !next;
  const count = rows.found.length === 1 ? "1 verification" : `${rows.found.length || "No"} verifications`;
  $("told").textContent = next ? `${count}, back to ${day(told.back_to)}. There may be older ones.` : `${count}.`;
  table($("found"), FOUND, rows.found, next ? "None so far; older ones were not looked at yet." : "There is no such verification.");
}

function forget() {
  turn += 1;
  [filters, next, rows.found] = [null, null, []];
  for (const part of ["told", "found", "one-told"]) $(part).replaceChildren();
  $("more").hidden = true;
  $("search").reset();
}

submits($("search"), async (form) => {
  const filled = Object.entries(form).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  filters = new URLSearchParams(filled).toString();
  await search(false);
});

$("more").addEventListener("click", async () => {
  try {
    await search(true);
  } catch (wrong) {
    notice(wrong.message);
  }
  if ($("more").hidden) $("h-found").scrollIntoView({ block: "nearest" });
});

// ---- blocks

const BLOCKS = [
  { name: "What", of: (it) => it.what },
  { name: "Tenant", of: (it) => it.tenant ?? "everybody's" },
  { name: "Why", of: (it) => words(it.reason) },
  { name: "Note", of: (it) => it.note ?? "", text: true },
  { name: "Since", of: (it) => it.from, shown: (it) => day(it.from) },
  { name: "Until", of: (it) => it.until ?? "", shown: (it) => (it.until ? day(it.until) : "it is lifted") },
  {
    name: "",
    of: () => "",
    act: (it) => (me?.role === "viewer" ? null : { text: "Lift", label: `Lift the block of ${it.what}`, work: () => lift(it) }),
  },
];

async function blocks() {
  try {
    rows.blocks = (await ask("GET", "/admin/v1/blocks")).blocks;
    table($("blocks"), BLOCKS, rows.blocks, "Nothing is blocked.");
  } catch (wrong) {
    notice(wrong.message);
  }
}

async function lift(block) {
  try {
    await ask("DELETE", `/admin/v1/blocks/${encodeURIComponent(block.id)}`);
    notice(`The block of ${block.what} is lifted.`);
  } catch (wrong) {
    notice(wrong.message);
  }
  await blocks();
  $("h-blocks").scrollIntoView({ block: "nearest" });
}

submits($("block"), async ({ about, what, tenant, reason }) => {
  const body = { [about]: what.trim() };
  if (tenant.trim()) body.tenant = tenant.trim();
  if (reason.trim()) body.reason = reason.trim();
  await ask("POST", "/admin/v1/blocks", body);
  $("block").reset();
  await blocks();
});

// ---- one verification

const LINE = [
  { name: "After", of: (it) => it.ms, shown: (it) => tick(it.ms), number: true },
  { name: "Attempt", of: (it) => it.attempt ?? "", number: true },
  { name: "What", of: (it) => it.kind },
  { name: "", csv: "Text", of: (it) => it.text, text: true, more: (it) => it.message },
];

async function look(id) {
  one = id;
  try {
    const told = await ask("GET", `/admin/v1/verifications/${encodeURIComponent(id)}/timeline`);
    if (one !== id) return;
    const { about } = told;
    $("one-why").textContent = told.why ?? "It is still being asked.";
    draw.facts($("one-facts"), [
      ["Id", told.id],
      ["Status", told.status],
      ["Begun", day(told.created_at)],
      ["Number", `${about.number} (${about.country})`],
      ["Tenant", about.tenant],
      ["Reference", about.reference],
      ["Via", about.via],
    ]);
    $("one-acts").hidden = false;
    $("end").hidden = told.status !== "pending" || me.role === "viewer";
    rows.line = told.entries;
    ladder($("ladder"), told.entries);
    table($("line"), LINE, told.entries, "Nothing is kept of it.");
  } catch (wrong) {
    $("one-why").textContent = wrong.status === 404 ? "There is no verification of this name, or it is no longer kept." : wrong.message;
    for (const part of ["one-facts", "ladder", "line"]) $(part).replaceChildren();
    delete $("one-facts").dataset.text;
    $("one-acts").hidden = true;
  }
}

$("unmask").addEventListener("click", () => $("unmasking").showModal());
$("stay").addEventListener("click", () => $("unmasking").close());
$("unmasking").addEventListener("close", () => $("why").reset());
submits($("why"), async ({ reason }) => {
  const told = await ask("POST", `/admin/v1/verifications/${encodeURIComponent(one)}/unmask`, { reason });
  $("unmasking").close();
  if (told.id === one) $("one-told").textContent = told.number;
});

$("end").addEventListener("click", async () => {
  try {
    const told = await ask("POST", `/admin/v1/verifications/${encodeURIComponent(one)}/cancel`);
    if (told.id === one) await look(one);
  } catch (wrong) {
    $("one-told").textContent = wrong.message;
  }
});

// ---- a test call

$("test").addEventListener("click", () => $("testing").showModal());
$("leave").addEventListener("click", () => $("testing").close());
submits($("call"), async ({ tenant, to }) => {
  const told = await ask("POST", `/admin/v1/tenants/${encodeURIComponent(tenant.trim())}/verifications`, { to: to.trim() });
  $("testing").close();
  location.hash = `#/v/${told.id}`;
});

// ---- tables to take away

const COLUMNS = { minutes: MINUTES, calls: CALLS, trunks: TRUNKS, selftests: SELFTESTS, via: LINES, country: LINES, prefix: LINES, found: FOUND, blocks: BLOCKS, line: LINE };

for (const button of document.querySelectorAll("[data-csv]")) {
  const name = button.dataset.csv;
  button.setAttribute("aria-label", `CSV of this table: ${name}`);
  button.addEventListener("click", () => csv(name, COLUMNS[name], rows[name]));
}

enter().catch((wrong) => {
  if (wrong.status === 401) show("login");
  else notice(wrong.message);
});
