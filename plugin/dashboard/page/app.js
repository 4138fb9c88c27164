// The page of kubectl ai dashboard: it shows the live state that /events sends.
// A state is drawn anew into fresh elements, which are then merged into those on
// the page, so that focus, selected text and what is open stay.
"use strict";

const $ = (id) => document.getElementById(id);
let state = null; // the newest, see plugin/live
let chosen = null; // the run that j and k are at
let opened = new Set(); // runs whose detail is shown; the first is at the start
const diffs = new Map(); // by generation: what /generations/ID answered, or null while it is asked
let heard = 0; // when the stream last said something
let lost = ""; // why it says nothing

// ---- elements

// h makes an element. Children are text, elements, or nothing.
function h(name, attributes, ...children) {
  const svg = ["svg", "path", "line", "rect"].includes(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null && value !== false) e.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== undefined && child !== null && child !== false && child !== "") e.append(child);
  }
  return e;
}

const keyOf = (n) => (n.nodeType === 1 ? n.getAttribute("data-key") : null);

// merge makes the children of old those of fresh.
function merge(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const want of [...fresh.childNodes]) {
    const key = keyOf(want);
    let have = key ? keyed.get(key) : at && !keyOf(at) ? at : null;
    if (!have || have.nodeName !== want.nodeName || have.nodeType !== want.nodeType) {
      old.insertBefore(want, at);
      continue;
    }
    if (have !== at) old.insertBefore(have, at);
    else at = at.nextSibling;
    if (have.nodeType === 3) {
      if (have.data !== want.data) have.data = want.data;
      continue;
    }
    for (const a of [...have.attributes]) if (!want.hasAttribute(a.name) && a.name !== "open") have.removeAttribute(a.name);
    for (const a of want.attributes) if (have.getAttribute(a.name) !== a.value) have.setAttribute(a.name, a.value);
    merge(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function show(id, ...children) {
  merge($(id), h("div", {}, ...children));
}

// ---- words

const number = (v) => {
  const n = Number(v);
  if (!Number.isFinite(n)) return String(v);
  return n !== 0 && (Math.abs(n) >= 1e6 || Math.abs(n) < 1e-3) ? n.toExponential(2) : String(Number(n.toPrecision(4)));
};
const plural = (n, word) => n + " " + word + (n === 1 ? "" : "s");
const clock = (t) => new Date(t).toLocaleTimeString([], { hour12: false });
const day = (t) => new Date(t).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hour12: false });
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 && s < 600 ? " " + (s % 60) + " s" : "");
  return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
}
function tone(phase) {
  if (["Running", "Complete", "Succeeded"].includes(phase)) return "good";
  if (["Failed", "Lost"].includes(phase)) return "bad";
  return "wait";
}
const phase = (word) => h("span", { class: "phase " + tone(word) }, word);

// ---- curves

// line is the path of a curve in a box; what is no number leaves a gap.
function line(curve, width, height) {
  const points = curve.steps.map((x, i) => [x, Number(curve.values[i])]);
  const finite = points.filter((p) => Number.isFinite(p[1]));
  if (finite.length === 0) return null;
  let low = Math.min(...finite.map((p) => p[1]));
  let high = Math.max(...finite.map((p) => p[1]));
  const first = points[0][0], last = points[points.length - 1][0];
  const x = (v) => (last > first ? ((v - first) / (last - first)) * width : width / 2);
  const y = (v) => (high > low ? height - ((v - low) / (high - low)) * height : height / 2);
  let d = "", pen = "M";
  for (const [step, value] of points) {
    if (!Number.isFinite(value)) { pen = "M"; continue; }
    d += pen + x(step).toFixed(1) + " " + y(value).toFixed(1);
    pen = "L";
  }
  if (finite.length === 1) d += "h0.1";
  const whole = finite.length === points.length;
  return { d, low, high, first, last, area: whole ? d + "V" + height + "H0Z" : "" };
}

function spark(curve) {
  const l = curve && curve.steps.length > 1 && line(curve, 100, 26); // one value is in words beside it
  return h("svg", { class: "spark", viewBox: "0 -2 100 30", preserveAspectRatio: "none", "aria-hidden": "true" }, l && h("path", { d: l.d }));
}

function plot(curve) {
  const l = line(curve, 400, 100);
  const best = curve.goal ? "best " + number(curve.best) : "";
  return h("div", { class: "plot", "data-key": "plot " + curve.name },
    h("h3", {}, curve.name, h("span", {}, "last " + number(curve.last), best && " · " + best)),
    curve.steps.length > 1 && h("div", { class: "frame" },
      h("div", { class: "y" }, h("span", {}, l ? number(l.high) : ""), h("span", {}, l && l.low !== l.high ? number(l.low) : "")),
      h("svg", { viewBox: "0 0 400 100", preserveAspectRatio: "none", role: "img", "aria-label": curve.name + ", last " + number(curve.last) },
        [0, 50, 100].map((y) => h("line", { x1: 0, x2: 400, y1: y, y2: y })),
        l && l.area && h("path", { class: "area", d: l.area }),
        l && h("path", { class: "curve", d: l.d })),
      h("div", { class: "x" }, h("span", {}, "report " + ((l ? l.first : 0) + 1)), h("span", {}, l && l.last > l.first ? String(l.last + 1) : ""))));
}

function bar(percent) {
  return h("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("rect", { width: Math.max(0, Math.min(100, percent)), height: 4 }));
}

// ---- runs

function matches(run) {
  const words = $("filter").value.toLowerCase().replace(/^\//, "").split(/\s+/).filter(Boolean);
  const text = [run.id, run.stage, run.phase, run.code, run.generation && "gen " + run.generation, ...Object.entries(run.parameters || {}).map((p) => p.join("="))].join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
}

function runs() {
  const list = state.runs.filter(matches);
  if (state.runs.length === 0) {
    return [h("p", { class: "empty" }, "No run yet. Start one with ", h("code", {}, "kubectl ai run"), ", or work on the code with ", h("code", {}, "kubectl ai dev"), ".")];
  }
  if (list.length === 0) return [h("p", { class: "empty" }, "No run matches the filter.")];
  if (chosen === null || !list.some((r) => r.id === chosen)) chosen = list[0].id;
  return [h("ul", { class: "stack" }, list.map(run))];
}

function run(r) {
  const open = opened.has(r.id);
  const main = (r.metrics || [])[0];
  const sub = [r.dev ? "kubectl ai dev" : r.stage, r.generation ? "gen " + r.generation : r.code, plural(r.wanted, "rank")].filter(Boolean).join(" · ");
  const id = "run-" + r.id;
  return h("li", { class: "card run" + (open ? " open" : ""), "data-key": r.id },
    h("button", { type: "button", "data-run": r.id, "data-key": "b", id, "aria-expanded": String(open), "aria-controls": id + "-body" },
      phase(r.phase),
      h("span", { class: "what" }, h("span", { class: "name" }, r.id), h("span", { class: "sub" }, sub), !open && r.reason && h("span", { class: "sub" }, r.reason)),
      h("span", { class: "value" },
        main ? h("span", {}, h("span", { class: "muted" }, main.name + " "), h("b", {}, number(main.last))) : "",
        h("span", { class: "sub" }, when(r))),
      h("span", { class: "trace" }, main && spark(main), r.progress !== undefined && !r.done && bar(Number(r.progress)))),
    open && h("div", { class: "body", id: id + "-body", "data-key": "d" }, detail(r)));
}

// when says how long a run has to go, or took.
function when(r) {
  const now = Date.now();
  if (r.done) return r.finished && r.started ? "took " + span((new Date(r.finished) - new Date(r.started)) / 1000) : "";
  if (r.eta) return "about " + span((new Date(r.eta) - now) / 1000) + " left";
  if (r.started) return "for " + span((now - new Date(r.started)) / 1000);
  return "";
}

function detail(r) {
  const facts = [];
  const fact = (name, value) => { if (value) facts.push(h("div", {}, h("dt", {}, name), h("dd", {}, value))); };
  fact("Started", r.started && day(r.started));
  fact("Progress", r.progress !== undefined && Math.round(Number(r.progress)) + " %");
  fact("Step", r.step);
  fact("Code", r.code && h("code", {}, r.code));
  fact("Generation", r.generation);
  for (const [name, value] of Object.entries(r.parameters || {})) fact(name, value);
  return [
    r.reason && h("p", { class: "reason " + tone(r.phase) }, r.reason),
    h("dl", { class: "facts" }, facts),
    (r.metrics || []).length > 0 ? h("div", { class: "plots" }, r.metrics.map(plot)) : h("p", { class: "reason" }, "No metrics yet. A line such as ", h("code", {}, '{"metrics": [{"name": "loss", "value": 0.4}]}'), " on standard output is drawn here."),
    r.ranks.length > 0 && ranks(r),
  ];
}

function ranks(r) {
  const cell = (label, value, kind) => h("td", { class: kind, "data-label": value === "" ? null : label }, value);
  const proved = r.ranks.some((k) => k.generation);
  return h("table", { class: "ranks" },
    h("thead", {}, h("tr", {}, h("th", {}, "Rank"), h("th", {}, "Phase"), h("th", { class: "n" }, "Step"), h("th", { class: "n" }, r.metric || "Value"),
      proved && h("th", { class: "n" }, "Gen"), h("th", {}, "GPU"), h("th", { class: "n" }, "Restarts"), h("th", {}, "Node"))),
    h("tbody", {}, r.ranks.map((k) => h("tr", { "data-key": k.index + k.pod + k.container },
      cell("Rank", k.index < 0 ? k.pod : String(k.index)),
      h("td", { class: k.trouble ? "wide" : null }, phase(k.phase), k.trouble && h("span", { class: "trouble" }, k.trouble)),
      cell("Step", String(k.step || ""), "n"),
      cell(r.metric || "Value", k.value === undefined ? "" : number(k.value), "n"),
      proved && cell("Gen", String(k.generation || ""), "n"),
      h("td", { "data-label": k.gpus ? "GPU" : null }, k.devices ? k.devices.join(", ") : k.gpus ? plural(k.gpus, "GPU") : "", k.faulty && h("span", { class: "trouble n" }, "failed")),
      cell("Restarts", String(k.restarts), "n"),
      cell("Node", k.node || "")))));
}

// ---- GPUs

function gpus() {
  if (state.nodes.length === 0) return [h("p", { class: "empty" }, "No node has GPUs.")];
  return state.nodes.map((n) => {
    const short = n.allocatable < n.capacity;
    return h("div", { class: "node", "data-key": n.name },
      h("h3", {}, n.name, h("span", { class: short || !n.ready ? "bad" : "" }, n.ready ? n.allocatable + " of " + n.capacity + " usable" : "not ready")),
      n.gpus.length > 0 && h("div", { class: "boards" }, n.gpus.map(board)));
  });
}

function board(g) {
  const gib = (b) => (b / 2 ** 30).toFixed(b >= 100 * 2 ** 30 ? 0 : 1);
  const word = !g.healthy ? "Failed" : g.fault ? "Hot" : g.utilization + " %";
  return h("div", { class: "card gpu" + (g.healthy ? (g.fault ? " warm" : "") : " failed"), "data-key": g.uuid, "data-gpu": g.index, title: g.product + ", " + g.uuid },
    h("div", { class: "top" }, "GPU " + g.index, h("span", {}, word)),
    g.fault ? h("p", { class: "fault" }, g.fault) : h("p", {}, gib(g.memoryUsedBytes) + " of " + gib(g.memoryBytes) + " GiB"),
    !g.lost && h("p", {}, g.temperature + " °C, " + g.powerWatts + " W"),
    (g.holders || []).length > 0 ? h("p", { class: "held" }, [...new Set(g.holders.map((x) => x.run || x.pod))].join(", ")) : g.healthy && h("p", {}, "free"),
    bar(g.lost ? 0 : g.utilization));
}

// ---- generations

function generations() {
  if (state.generations.length === 0) return [h("p", { class: "empty" }, "Code that ranks ran in ", h("code", {}, "kubectl ai dev"), " is listed here.")];
  return [h("div", { class: "stack list" }, state.generations.map((g) => {
    const n = g.changes.length + (g.more || 0);
    return h("details", { class: "card", "data-key": g.id, "data-generation": g.id },
      h("summary", { "data-key": "s" },
        h("span", { class: "row" }, h("b", {}, "Generation " + g.number), h("span", { class: "muted" }, clock(g.time))),
        h("span", { class: "row muted small" },
          h("span", {}, g.first ? "the first" : n === 0 ? "the same code again" : plural(n, "file")),
          h("span", {}, h("code", {}, g.digest), " · ", g.proved + " of " + plural(g.ranks, "rank")))),
      h("div", { class: "diff", "data-key": "d" }, difference(g)));
  }))];
}

function difference(g) {
  if (g.first) return h("p", { class: "muted small" }, "Nothing came before it in the journal of this machine.");
  const d = diffs.get(g.id);
  if (d === undefined) return "";
  if (d === null) return h("p", { class: "muted small" }, "Comparing …");
  if (typeof d === "string") return h("p", { class: "muted small" }, d);
  if (d.files.length === 0) return h("p", { class: "muted small" }, "No file differs from the generation before.");
  return [d.files.map((f) => h("div", { class: "file" },
    h("h4", {}, h("span", { class: "mono" }, f.path), h("span", {}, f.what)),
    f.text ? h("pre", {}, f.text.replace(/\n$/, "").split("\n").filter((l) => !/^(--- |\+\+\+ )/.test(l)).map((l) =>
      h("span", { class: l[0] === "+" ? "add" : l[0] === "-" ? "cut" : l[0] === "@" ? "at" : null }, l))) : h("p", { class: "muted small" }, f.note))),
    d.more && h("p", { class: "muted small" }, "and " + plural(d.more, "file") + " more")];
}

async function compare(id) {
  if (diffs.has(id)) return;
  diffs.set(id, null);
  try {
    const answer = await fetch("/generations/" + encodeURIComponent(id));
    diffs.set(id, answer.ok ? await answer.json() : await answer.text());
  } catch {
    diffs.delete(id); // asked again when it is opened again
  }
  draw();
}

// ---- releases and drift

function releases() {
  const list = state.releases.filter((e) => e.items.length > 0);
  if (list.length === 0) return [h("p", { class: "empty" }, "Nothing was promoted yet: ", h("code", {}, "kubectl ai promote"), ".")];
  return list.map((e) => h("div", { class: "stack list", "data-key": e.environment + e.cluster },
    h("p", { class: "muted small" }, [e.environment, e.cluster, e.context].filter(Boolean).join(" · ")),
    e.items.map((r) => {
      const word = r.revision === e.current ? "current" : r.status;
      const kind = { current: "good", failed: "bad", damaged: "bad", interrupted: "wait", pending: "wait" }[word];
      return h("div", { class: "card", "data-key": r.revision },
        h("div", { class: "row" }, h("b", {}, "Release " + r.revision), h("span", { class: "tag " + (kind || "") }, word)),
        h("div", { class: "row muted small" }, h("code", {}, (r.treeDigest || "").replace(/^.*:/, "").slice(0, 12)), h("span", {}, r.who + ", " + day(r.when))),
        r.rollbackTo && h("p", { class: "small" }, "rollback to " + r.rollbackTo),
        r.reason && h("p", { class: "small" }, r.reason.split("\n")[0]));
    })));
}

function drifts() {
  if (state.drift.length === 0) return [h("p", { class: "empty" }, "No drift exporter runs. ", h("code", {}, "kubectl ai catalog add monitor"), " brings one.")];
  return [h("div", { class: "stack list" }, state.drift.map((d) => h("div", { class: "card", "data-key": d.environment },
    h("div", { class: "row" }, h("b", {}, d.environment), d.samples > 0 && h("span", {}, "PSI " + number(d.psiMean))),
    d.error && h("p", { class: "muted small" }, d.error),
    d.samples !== undefined && h("p", { class: "muted small" }, plural(d.samples, "request") + " in " + span(d.windowSeconds) + ", " + plural(d.targets, "pod"),
      d.accuracy !== undefined && ", accuracy " + number(d.accuracy)),
    (d.features || []).length > 0 && h("p", { class: "muted small" }, "PSI of the features that moved most"),
    (d.features || []).length > 0 && h("div", { class: "features" }, d.features.slice(0, 5).map((f) => [h("span", {}, f.name), bar(Math.min(1, f.psi) * 100), h("span", {}, number(f.psi))]))))) ];
}

// ---- the whole

function draw() {
  link();
  if (!state) return;
  document.title = state.project + " · kubectl ai";
  show("project", state.project);
  show("where", [state.environment, state.context, "namespace " + state.namespace].join(" · "));
  show("unread", state.unread.map((u) => h("p", { "data-key": u.part }, "Cannot read " + u.part + ": " + u.reason)));
  show("run-list", runs());
  show("gpu-list", gpus());
  show("generation-list", generations());
  show("release-list", releases());
  show("drift-list", drifts());
}

function link() {
  const stale = lost || (heard && Date.now() - heard > 10000);
  const pill = $("link");
  pill.className = "pill " + (stale ? "bad" : heard ? "good" : "wait");
  const words = stale ? "Stale" + (state ? " since " + clock(heard) : "") + (lost ? ": " + lost : "") : heard ? "Live" : "Connecting";
  if (pill.textContent !== words) pill.textContent = words;
}

function listen() {
  const stream = new EventSource("/events");
  const alive = () => { heard = Date.now(); lost = ""; };
  stream.addEventListener("state", (e) => {
    const first = state === null;
    state = JSON.parse(e.data);
    if (first && state.runs.length > 0) opened.add(state.runs[0].id);
    alive();
    draw();
  });
  stream.addEventListener("beat", () => { alive(); link(); });
  stream.onerror = () => {
    lost = "reconnecting";
    if (stream.readyState === EventSource.CLOSED) { // refused: it does not try again by itself
      lost = "the dashboard ended, or this is an old address";
      setTimeout(listen, 3000);
    }
    link();
  };
}

function toggle(id) {
  chosen = id;
  if (!opened.delete(id)) opened.add(id);
  draw();
}

function move(by) {
  const list = state ? state.runs.filter(matches) : [];
  if (list.length === 0) return;
  const focused = document.activeElement && document.activeElement.dataset.run;
  const at = list.findIndex((r) => r.id === (focused || chosen));
  const next = focused === undefined ? Math.max(at, 0) : Math.max(0, Math.min(list.length - 1, at + by));
  chosen = list[next].id;
  $("run-" + chosen).focus();
}

document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-run]");
  if (button) toggle(button.dataset.run);
});
document.addEventListener("toggle", (e) => {
  const id = e.target.dataset && e.target.dataset.generation;
  if (id && e.target.open) { compare(id); draw(); }
}, true);
$("filter").addEventListener("input", draw);
$("help-open").addEventListener("click", () => $("help").showModal());
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("help").open) return;
  if (e.target === $("filter")) {
    if (e.key === "Escape") { $("filter").value = ""; draw(); $("filter").blur(); }
    if (e.key === "ArrowDown" || e.key === "Enter") { e.preventDefault(); move(0); }
    return;
  }
  const keys = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    "/": () => $("filter").focus(),
    "?": () => $("help").showModal(),
    g: () => { const s = document.querySelector("#generation-list summary"); if (s) s.focus(); },
  };
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
});
setInterval(draw, 1000); // times pass
listen();
