// A person at the operator's page, in Chromium. Takes commands and answers them, one JSON object a line; what is not as
// a person would need it is an error that says what.
//
// Pictures are left in the folder of `open`, if one is given: look at them.

import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 25_000;
let url, folder;
const must = (holds, what) => {
  if (!holds) throw new Error(what);
};

// A code of RFC 6238: SHA-1, 30 s, six digits.
function totp(base32) {
  const bits = [...base32.replace(/=+$/, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac("sha1", key).update(step).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);
const elsewhere = [];
const complaints = [];
page.on("request", (request) => request.url().startsWith(url) || request.url().startsWith("blob:") || elsewhere.push(request.url()));
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (line) => line.type() === "error" && !/status of (401|404|422)/.test(line.text()) && complaints.push(line.text()));

async function picture(what) {
  if (!folder) return;
  for (const [size, width] of [["phone", 390], ["tablet", 820], ["desk", 1280]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: `${folder}/${what}-${size}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize({ width: 1280, height: 900 });
}

// What axe-core finds that is serious, in light and in dark. It is put in beside the page's policy, not by it.
async function accessible(what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const grave = violations.filter((it) => ["serious", "critical"].includes(it.impact));
    must(grave.length === 0, `${what}, ${colorScheme}: ${grave.map((it) => `${it.id} at ${it.nodes.map((node) => node.target).join(", ")}`).join("; ")}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

const row = (id) => page.locator(`#calls tr[data-key="${id}"]`);

// Goes on with Tab until the wanted part has the focus.
async function tabTo(selector) {
  for (let presses = 0; presses < 200; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((it) => document.activeElement?.matches(it), selector)) return;
  }
  throw new Error(`no way by Tab to ${selector}`);
}

const acts = {
  // Where the page is, and where pictures go.
  async open(where) {
    ({ url, folder } = where);
    return { chromium: browser.version() };
  },
  // Nothing is shown before somebody is known, and a wrong code opens nothing.
  async login({ name, password, secret }) {
    await page.goto(url);
    await page.locator("#page-login").waitFor();
    must(await page.locator("#page-now").isHidden(), "the board is shown to nobody");
    await accessible("login");
    await picture("login");
    const form = page.locator("#login");
    await form.locator("[name=name]").fill(name);
    await form.locator("[name=password]").fill("not the password");
    await form.locator("[name=code]").fill("000000");
    await form.locator("button").click();
    await form.locator(".error", { hasText: /\S/ }).waitFor();
    await form.locator("[name=password]").fill(password);
    await form.locator("[name=code]").fill(totp(secret));
    await page.keyboard.press("Enter");
    await page.locator("#page-now").waitFor();
    return { who: await page.locator("#who").textContent() };
  },
  // Waits until each of these has come to one of these words.
  async reach({ verifications: ids, words }) {
    await page.goto(`${url}/#/`);
    for (const id of ids) {
      const state = row(id).locator(".word");
      await state.filter({ hasText: new RegExp(`^(${words.join("|")})$`) }).waitFor();
    }
    return { reached: ids.length };
  },
  // Looks at the board as it is.
  async board() {
    await page.goto(`${url}/#/`);
    await page.locator("#tiles > div").first().waitFor();
    must(await page.locator("#page-one").isHidden(), "one verification is shown in place of the board");
    await accessible("now");
    await picture("now");
    const tiles = await page.locator("#tiles > div").evaluateAll((all) => all.map((it) => [it.querySelector("dt").textContent, it.querySelector("dd").textContent]));
    return { tiles: Object.fromEntries(tiles) };
  },
  // Sees how the self-test calls of a trunk stand.
  async tried({ trunk, path, words }) {
    const line = page.locator("#selftests tbody tr", { hasText: trunk }).filter({ hasText: path });
    await line.filter({ hasText: words }).waitFor({ timeout: 60_000 }).catch(async () => must(false, `"${await page.locator("#selftests").textContent()}" does not tell of ${trunk}, ${path}: ${words}`));
    return {};
  },
  // Opens one, and reads why it ended.
  async why({ verification: id, text, shot }) {
    await page.goto(`${url}/#/`);
    await row(id).locator("a").click();
    const why = page.locator("#one-why", { hasText: new RegExp(text, "i") });
    await why.waitFor().catch(async () => must(false, `${id}: "${await page.locator("#one-why").textContent()}" does not tell of ${text}`));
    await page.locator("#line tbody tr").first().waitFor();
    if (shot) {
      must((await page.locator("#ladder svg line").count()) > 2, "no ladder is drawn");
      await accessible("one");
      await picture("one");
    }
    return { why: await why.textContent(), entries: await page.locator("#line tbody tr").count() };
  },
  // Blocks and lifts, by keyboard alone.
  async block({ number, note }) {
    await page.goto(`${url}/#/`);
    await page.locator("#page-now").waitFor();
    await tabTo('nav a[href="#/blocks"]');
    await page.keyboard.press("Enter");
    await page.locator("#page-blocks").waitFor();
    await tabTo("#block [name=what]");
    await page.keyboard.type(number);
    await tabTo("#block [name=reason]");
    await page.keyboard.type(note);
    await page.keyboard.press("Enter");
    const found = page.locator("#blocks tr", { hasText: note });
    await found.waitFor();
    must((await page.locator("#blocks b, #blocks img").count()) === 0, "markup of a note is markup");
    await accessible("blocks");
    await picture("blocks");
    await tabTo('#blocks button[aria-label^="Lift"]');
    await page.keyboard.press("Enter");
    await found.waitFor({ state: "detached" });
    await page.locator("#blocks .none").waitFor();
    return {};
  },
  // Searches by what a person knows: what is found, or what is wrong with what they wrote.
  async search({ fields, found = [], none, wrong, shot }) {
    await page.goto(`${url}/#/search`);
    const form = page.locator("#search");
    await form.waitFor();
    for (const name of ["number", "subject", "reference", "since", "until", "country"]) await form.locator(`[name=${name}]`).fill(fields[name] ?? "");
    await form.locator("[name=status]").selectOption(fields.status ?? "");
    const answered = page.waitForResponse((answer) => answer.url().includes("/admin/v1/verifications?"));
    await form.locator("[name=number]").press("Enter");
    await answered;
    if (wrong) {
      await form.locator(".error", { hasText: wrong }).waitFor();
      return {};
    }
    for (const id of found) await page.locator(`#found tr[data-key="${id}"]`).waitFor();
    if (none) await page.locator("#found .none").waitFor();
    else await page.waitForFunction((most) => document.querySelectorAll("#found tbody tr").length === most, found.length);
    must((await page.locator("#found img, #found b").count()) === 0, "markup of a reference is markup");
    const told = await page.locator("#told").textContent();
    must(told.startsWith(found.length === 1 ? "1 verification" : `${found.length || "No"} verifications`), `a reader is told "${told}"`);
    if (shot) {
      await accessible("search");
      await picture("search");
      const [download] = await Promise.all([page.waitForEvent("download"), page.locator('[data-csv="found"]').click()]);
      const file = readFileSync(await download.path(), "utf8");
      must(file.startsWith("Verification,Begun,Number,") && file.includes(found[0]), "the file does not hold what was found");
    }
    return { told };
  },
  // Opens what was found last, sees its number for a reason, and leaves it masked behind.
  async unmask({ verification: id, reason, number, masked }) {
    await page.goto(`${url}/#/search`);
    await page.locator(`#found tr[data-key="${id}"] a`).click();
    await page.locator("#one-facts", { hasText: masked }).waitFor();
    await tabTo("#unmask");
    await page.keyboard.press("Enter");
    await page.locator("#unmasking[open]").waitFor();
    await accessible("unmasking");
    await page.keyboard.type(`she called from ${number}`);
    await page.keyboard.press("Enter");
    await page.locator("#why .error", { hasText: "must hold no phone number" }).waitFor();
    await page.locator("#why [name=reason]").fill(reason);
    await page.keyboard.press("Enter");
    await page.locator("#one-told", { hasText: number }).waitFor();
    must(await page.locator("#unmasking").isHidden(), "the dialog stays");
    await picture("unmasked");
    await page.goto(`${url}/#/search`);
    await page.locator("#found tr[data-key] a").first().click();
    await page.locator("#line tbody tr").first().waitFor();
    must((await page.locator("#one-told").textContent()) === "", "the number stays on the page");
    return {};
  },
  // Ends a call that is up.
  async end({ verification: id, text }) {
    await page.goto(`${url}/#/v/${id}`);
    await page.locator("#end").click();
    await page.locator("#one-why", { hasText: new RegExp(text, "i") }).waitFor();
    await page.locator("#end").waitFor({ state: "hidden" });
    return {};
  },
  // How long the page takes to be painted and filled, and a search to be shown, in milliseconds.
  async paint({ number }) {
    await page.goto(`${url}/#/`);
    await page.reload();
    await page.locator("#tiles > div").first().waitFor();
    const filled = await page.evaluate(() => performance.now());
    // It is painted when the browser comes to it, and told of after that.
    const painted = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
    const first = await painted.jsonValue();
    await page.goto(`${url}/#/search`);
    const searched = await page.evaluate((wanted) => new Promise((done) => {
      const form = document.querySelector("#search");
      form.elements.number.value = wanted;
      const from = performance.now();
      new MutationObserver(() => document.querySelector("#found tr[data-key]") && done(performance.now() - from)).observe(document.querySelector("#found"), { subtree: true, childList: true });
      form.requestSubmit();
    }), number);
    await page.goto(`${url}/#/`);
    await page.locator("#page-now").waitFor();
    return { first, filled, searched };
  },
  // How long after it was begun a verification is seen, in milliseconds.
  async seen({ verification: id, begun }) {
    await row(id).waitFor();
    return { after: Date.now() - Date.parse(begun) };
  },
  // Takes a table away.
  async csv({ text }) {
    await page.goto(`${url}/#/`);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator('[data-csv="calls"]').click()]);
    const file = readFileSync(await download.path(), "utf8");
    must(file.startsWith("Verification,Number,") && file.includes(text), `the file does not hold ${text}`);
    return { rows: file.split("\r\n").length - 2 };
  },
  // A test call.
  async call({ tenant, to, text }) {
    await page.goto(`${url}/#/`);
    await page.locator("#test").click();
    await page.locator("#call [name=tenant]").fill(tenant);
    await page.locator("#call [name=to]").fill(to);
    await page.keyboard.press("Enter");
    await page.locator("#page-one").waitFor();
    await page.locator("#one-why", { hasText: new RegExp(text, "i") }).waitFor();
    return {};
  },
  // Nothing was asked of another site, and nothing went wrong in the page.
  async quiet() {
    must(elsewhere.length === 0, `asked elsewhere: ${elsewhere.join(", ")}`);
    must(complaints.length === 0, `complaints: ${complaints.join("; ")}`);
    return {};
  },
  // Leaves; the page is empty again, and so is the gateway's memory of this person.
  async logout() {
    await page.locator("#logout").click();
    await page.locator("#page-login").waitFor();
    const status = await page.evaluate(async () => (await fetch("/admin/v1/board")).status);
    must(status === 401, `after the log-out the board is told with ${status}`);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, act, ...what } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ id, ...(await acts[act](what)) }));
  } catch (error) {
    if (folder) await page.screenshot({ path: `${folder}/failed.png`, fullPage: true }).catch(() => {});
    console.log(JSON.stringify({ id, error: error.message }));
  }
}
await browser.close();
