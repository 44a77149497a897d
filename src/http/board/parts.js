// What the operator's page draws with: tables, tiles, bars and ladders, made of elements and text alone.

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Milliseconds from the start, as a stopwatch shows them. */
export const tick = (ms) => `${(ms / 1_000).toFixed(3)} s`;

/** The text of a cell as it is shown. */
const shown = (column, row) => String((column.shown ?? column.of)(row) ?? "–");

function fill(cell, column, row) {
  const text = shown(column, row);
  cell.className = [column.number && "number", column.text && "text", column.word && `word ${text}`].filter(Boolean).join(" ");
  const act = column.act?.(row);
  if (act) {
    const button = el("button", { type: "button", "aria-label": act.label }, act.text);
    button.addEventListener("click", act.work);
    cell.replaceChildren(button);
  } else if (column.link) {
    cell.replaceChildren(el("a", { href: column.link(row) }, text));
  } else if (column.more?.(row)) {
    cell.replaceChildren(el("details", {}, el("summary", {}, text), el("pre", {}, column.more(row))));
  } else {
    cell.replaceChildren(text);
  }
}

/**
 * Draws a table anew. Rows with an id are kept and only what changed in them is written, so that neither focus nor
 * the place of a reader is lost.
 */
export function table(into, columns, rows, empty) {
  if (!into.tHead) {
    const heads = columns.map((column) => {
      const head = el("th", { scope: "col" }, column.name);
      if (column.number) head.className = "number";
      if (column.title) head.title = column.title;
      return head;
    });
    into.append(el("thead", {}, el("tr", {}, ...heads)), el("tbody"));
  }
  const body = into.tBodies[0];
  if (rows.length === 0) {
    if (!body.querySelector(".none")) {
      body.replaceChildren(el("tr", {}, el("td", { class: "none", colspan: columns.length }, empty)));
    }
    return;
  }
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const wanted = rows.map((row, no) => {
    const key = row.id ?? String(no);
    const line = old.get(key) ?? el("tr", { "data-key": key });
    const text = JSON.stringify(row);
    if (line.dataset.text !== text) {
      line.dataset.text = text;
      for (const [at, column] of columns.entries()) fill(line.cells[at] ?? line.insertCell(), column, row);
    }
    return line;
  });
  // Only what is out of its place is moved: a row that is moved loses the focus.
  for (const row of [...body.rows]) if (!wanted.includes(row)) row.remove();
  for (const [at, row] of wanted.entries()) if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
}

/** A table as a CSV file (RFC 4180) to save. What a spreadsheet would take for a formula is quoted. */
export function csv(name, columns, rows) {
  const cell = (value) => {
    const text = typeof value === "number" ? String(value) : String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const kept = columns.filter((column) => !column.act);
  const lines = [kept.map((column) => cell(column.csv ?? column.name)), ...rows.map((row) => kept.map((column) => cell(column.of(row))))];
  const file = new Blob([lines.map((line) => `${line.join(",")}\r\n`).join("")], { type: "text/csv" });
  const link = el("a", { href: URL.createObjectURL(file), download: `octothorpe-${name}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}

function named(into, pairs, wrap) {
  const text = JSON.stringify(pairs);
  if (into.dataset.text === text) return;
  into.dataset.text = text;
  const parts = pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
  into.replaceChildren(...(wrap ? parts.map((pair) => el("div", {}, ...pair)) : parts.flat()));
}

/** What the last hour came to by minute, one bar each. */
function bars(into, legend, at, minutes, kinds) {
  const last = Math.floor(Date.parse(at) / 60_000);
  const sum = (it) => kinds.reduce((all, kind) => all + (it.ended[kind] ?? 0), 0);
  const most = Math.max(1, ...minutes.map(sum));
  const [width, height] = [600, 100];
  const parts = [];
  for (const minute of minutes) {
    const ago = last - Math.floor(Date.parse(minute.minute) / 60_000);
    if (ago < 0 || ago > 59) continue;
    let top = height;
    for (const kind of kinds) {
      const tall = ((minute.ended[kind] ?? 0) * height) / most;
      if (!tall) continue;
      top -= tall;
      parts.push(svg("rect", { x: width - (ago + 1) * 10 + 1, y: top, width: 8, height: tall, class: kind, fill: "currentColor" }));
    }
  }
  const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `Verifications that ended in each of the last 60 minutes; the most were ${most}` }, ...parts);
  into.replaceChildren(parts.length ? image : el("p", { class: "empty" }, "Nothing has ended within the last hour."));
  if (!legend.hasChildNodes()) legend.append(...kinds.map((kind) => el("span", {}, el("i", { class: kind }), kind)));
}

export const draw = {
  tiles: (into, pairs) => named(into, pairs, true),
  facts: (into, pairs) => named(into, pairs.filter(([, value]) => value), false),
  bars,
};

/** As much of a text as there is room for between the lanes; the timeline has all of it. */
const brief = (text) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

/** A message without its way, which the arrow shows, and without the version that all have. */
const line = (text) => text.replace(/^(To|From) \S+: /, "").replace(/^SIP\/2\.0 | SIP\/2\.0$/, "");

/** The SIP messages and what was heard between them, as a ladder between us and the other side. */
export function ladder(into, entries) {
  const steps = entries.filter((it) => ["sip", "ringing", "answered", "media", "said", "listening", "key", "label", "ended"].includes(it.kind));
  if (!steps.some((it) => it.kind === "sip")) {
    into.replaceChildren("There is no SIP of it: it is no call of our own, or it has only begun.");
    return;
  }
  const [left, right, high] = [110, 640, 26];
  const parts = [
    svg("text", { x: left, y: 16, "text-anchor": "middle", class: "lane" }, "octothorpe"),
    svg("text", { x: right, y: 16, "text-anchor": "middle", class: "lane" }, "the other side"),
  ];
  const bottom = 34 + steps.length * high;
  for (const x of [left, right]) parts.push(svg("line", { x1: x, x2: x, y1: 24, y2: bottom, stroke: "currentColor", opacity: 0.4 }));
  for (const [no, step] of steps.entries()) {
    const y = 44 + no * high;
    parts.push(svg("text", { x: 4, y, class: "when" }, tick(step.ms)));
    if (step.kind !== "sip") {
      parts.push(svg("text", { x: (left + right) / 2, y, "text-anchor": "middle", class: "note" }, brief(step.text)));
      continue;
    }
    const out = step.text.startsWith("To ");
    const [from, to, back] = out ? [left, right, -8] : [right, left, 8];
    parts.push(
      svg("line", { x1: from, x2: to, y1: y + 4, y2: y + 4, stroke: "currentColor" }),
      svg("path", { d: `M${to} ${y + 4}l${back} -4v8z`, fill: "currentColor" }),
      svg("text", { x: (left + right) / 2, y, "text-anchor": "middle" }, brief(line(step.text))),
    );
  }
  const drawn = svg("svg", { viewBox: `0 0 760 ${bottom + 6}`, width: 760, height: bottom + 6, role: "img", "aria-label": "The ladder of its SIP messages; each is told in the timeline below" }, ...parts);
  into.replaceChildren(drawn);
}
