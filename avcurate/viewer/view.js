"use strict";
const at = id => document.getElementById(id);
const PAGE = 50;
let runs = [], rows = [], total = 0, shownKey = "", asked = 0, all = false;
const state = { run: 0, q: "", sort: "", desc: false, offset: 0, key: "" };

function fail(error) { at("error").textContent = error ? error.message : ""; at("error").hidden = !error; }
function write(replace) {
  const hash = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value) hash.set(name, value === true ? "1" : value);
  const to = "#" + hash;
  if (to !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", to);
}
function read() {
  const hash = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, { run: Number(hash.get("run")) || 0, q: hash.get("q") || "", sort: hash.get("sort") || "",
    desc: hash.get("desc") === "1", offset: Number(hash.get("offset")) || 0, key: hash.get("key") || "" });
  if (state.run >= runs.length) state.run = 0;
  at("search").value = state.q;
}
function tag(text, extra) { return el("span", { class: "tag " + String(extra || text).replace(/[^\w-]/g, "") }, text); }

function showRuns() {
  at("runs").replaceChildren(...runs.map((r, i) => el("button",
    { role: "tab", "aria-selected": String(i === state.run), title: r.path, onclick: () => { state.run = i; state.offset = 0; write(); search(); } },
    el("b", {}, r.name), el("small", {}, `${r.task} · ${r.state.split(";")[0]} · ${r.rows.toLocaleString()} rows`))));
  const names = runs[state.run].columns.map(c => c.name).filter(n => n !== "row");
  at("sort").replaceChildren(el("option", { value: "" }, "order of input"), ...names.map(n => el("option", { value: n }, n)));
  at("sort").value = state.sort;
  at("way").textContent = state.desc ? "↓" : "↑";
}
async function search(keep) {
  const mine = ++asked;
  showRuns();
  try {
    const found = await get("api/rows", { run: state.run, q: state.q, sort: state.sort, desc: state.desc ? 1 : 0, offset: state.offset, limit: PAGE });
    if (mine !== asked) return;
    fail(null);
    ({ rows, total } = found);
    at("count").textContent = `${total.toLocaleString()} rows · ${found.ms} ms`;
    const last = Math.max(1, Math.ceil(total / PAGE));
    at("page").textContent = `${Math.floor(state.offset / PAGE) + 1} of ${last.toLocaleString()}`;
    at("previous").disabled = state.offset === 0;
    at("next").disabled = state.offset + PAGE >= total;
    showRows();
    showFilters(found.facets);
    if (!keep) at("rows").scrollTop = 0;
    if (state.key) await open(state.key, true);
  } catch (error) { if (mine === asked) fail(error); }
}
function showRows() {
  at("rows").replaceChildren(...rows.map(r => {
    const badges = [];
    if (r.state !== "kept") badges.push(tag(r.state === "dead" || r.state === "filtered" ? `${r.state}: ${r.reason}` : r.state, r.state));
    else if (r.label !== null && r.label !== undefined) badges.push(tag(r.label));
    else if (r.why) badges.push(tag(r.why));
    if (r.paired && r.other !== r.label) badges.push("→ ", tag(r.other ?? "none"));
    const further = r.sorted === undefined || r.sorted === null ? "" : el("small", { class: "soft" }, ` ${state.sort} ${r.sorted}`);
    return el("li", { "data-key": r.key, "aria-selected": String(r.key === state.key), tabindex: "0", onclick: () => choose(r.key) },
      el("div", {}, ...badges, further), el("div", { class: "line" }, r.title || r.message || r.key));
  }));
}
const quote = v => (/[\s":]/.test(v) || v === "" ? `"${v.replaceAll('"', "")}"` : v);
function showFilters(facets) {
  const boxes = facets.flatMap(f => [el("h3", {}, f.name), ...f.values.map(({ value, n }) => {
    const token = `${f.name}:${value === null ? "none" : quote(value)}`;
    const on = ` ${state.q} `.includes(` ${token} `);
    return el("button", { class: (on ? "on" : "") + (n ? "" : " off"), "aria-pressed": String(on), title: token, onclick: () => toggle(token, on) },
      el("span", {}, value ?? "none"), el("span", {}, n.toLocaleString()));
  })]);
  const numbers = runs[state.run].columns.filter(c => c.kind === "number" && c.low !== null && c.low !== c.high && c.name !== "row");
  if (numbers.length) boxes.push(el("h3", {}, "numbers (click, then type)"), ...numbers.map(c => el("button",
    { title: `${c.name} from ${c.low} to ${c.high}`, onclick: () => type(`${c.name}<`) },
    el("span", {}, c.name), el("span", {}, `${Number(c.low.toPrecision(3))}–${Number(c.high.toPrecision(3))}`))));
  at("filters").replaceChildren(...boxes);
}
function toggle(token, on) {
  state.q = on ? ` ${state.q} `.replace(` ${token} `, " ").trim() : `${state.q} ${token}`.trim();
  at("search").value = state.q; state.offset = 0; write(); search();
}
function type(text) { at("search").value = `${state.q} ${text}`.trim(); at("search").focus(); at("filters").classList.remove("open"); }

function choose(key) { state.key = key; write(); open(key); document.body.classList.add("reading"); }
async function open(key, again) {
  for (const li of at("rows").children) {
    const chosen = li.dataset.key === key;
    li.setAttribute("aria-selected", String(chosen));
    if (chosen && !again) li.scrollIntoView({ block: "nearest" });
  }
  const wanted = `${state.run} ${key} ${runs[state.run].version}`;
  if (again && shownKey === wanted) return;
  shownKey = wanted;
  try {
    const [row, other] = await Promise.all([get("api/row", { run: state.run, key }),
      runs.length > 1 ? get("api/row", { run: 1 - state.run, key }).catch(() => null) : null]);
    if (shownKey === wanted) showRow(row, other);
  } catch (error) { shownKey = ""; fail(error); }
}
function showRow(row, other) {
  const body = [el("button", { class: "back", onclick: back }, "← list")];
  body.push(el("div", {}, row.state !== "kept" ? tag(row.state, row.state) : "", row.label !== null && row.label !== undefined ? tag(row.label) : row.why ? tag(row.why) : "",
    el("code", { class: "soft" }, row.key), " ", el("button", { onclick: link, title: "Copy the row's address (c)" }, "copy link")));
  body.push(el("h2", {}, row.question || row.title || row.lost.message || row.key));
  if (row.choices.length) body.push(el("p", { class: "choices" }, ...row.choices.map(c => el(c === row.answer ? "b" : "span", {}, c + " "))));
  else if (row.answer) body.push(el("p", {}, "Answer: ", el("b", {}, row.answer)));
  if (row.lost.reason) body.push(el("table", {}, ...[["stage", row.lost.stage], ["reason", row.lost.reason], ["what happened", row.lost.message],
    ["next step", row.lost.hint], ["reproduce", row.lost.reproduce && el("code", {}, row.lost.reproduce)]].filter(x => x[1]).map(([a, b]) => el("tr", {}, el("td", { class: "soft" }, a), el("td", {}, b)))));
  if (row.clips.length) body.push(el("div", { class: "clips" }, ...row.clips.map(c => clip({ run: state.run, key: row.key, clip: c.number }, c))));
  body.push(...said(row, other ? row.run : ""));
  if (other) body.push(...(other.run === undefined ? [] : [el("h3", {}, `${other.run}: `, other.label !== null && other.label !== undefined ? tag(other.label) : tag(other.why || other.state))]), ...said(other, other.run));
  else if (runs.length > 1) body.push(el("p", { class: "soft" }, "The other run does not have this row."));
  if (row.values.length) body.push(el("details", {}, el("summary", {}, "all columns"), el("table", {}, ...row.values.map(v => el("tr", {},
    el("td", { title: v.about }, v.name), el("td", {}, typeof v.value === "object" ? el("pre", {}, JSON.stringify(v.value, null, 1)) : String(v.value)))))));
  at("row").replaceChildren(...body);
  at("row").scrollTop = 0;
}
function said(row, name) {
  const parts = [];
  if (row.answers.length) parts.push(el("h3", {}, name ? `Responses, ${name}` : "Responses"), el("div", { class: "answers" }, ...row.answers.map(group)));
  if (row.steps.length) parts.push(el("h3", {}, "How the label came to be"), el("ol", { class: "steps" }, ...row.steps.map(s => el("li", {}, s))));
  return parts;
}
function group(g) {
  const votes = el("div", { class: "votes", "aria-label": "responses, right or wrong" }, ...g.responses.map(r => el("span", { class: r.right === null ? "" : r.right ? "ok" : "no", title: r.answer ?? "unreadable" })));
  const verdict = g.solved === true ? el("b", { class: "ok" }, " solved") : g.solved === false ? el("b", { class: "no" }, " not solved") : "";
  const counts = g.asked ? `${g.k ?? "?"} of ${g.asked} right` : g.responses.length ? `${g.responses.length} responses` : "not asked";
  const line = el("div", { class: "soft" }, counts, typeof g.consistency === "number" ? `, consistency ${g.consistency.toFixed(2)}` : "", verdict);
  const few = all ? g.responses : g.responses.slice(0, 2);
  const box = el("div", {}, el("b", {}, g.name), line, votes, ...few.map(r => el("p", {},
    r.answer === undefined || (r.answer === null && r.right === null) ? "" : el("b", { class: r.right ? "ok" : "no" }, (r.answer ?? "unreadable") + " "), r.text, r.cut ? el("span", { class: "no" }, " (cut off)") : "")));
  if (few.length < g.responses.length) box.append(el("button", { onclick: () => { all = true; shownKey = ""; open(state.key); } }, `all ${g.responses.length} (e)`));
  return box;
}
function back() { document.body.classList.remove("reading"); document.querySelector("#rows [aria-selected=true]")?.focus(); }
async function link() { await navigator.clipboard?.writeText(location.href).catch(() => null); at("count").textContent = "address copied"; }
function page(by) {
  const to = state.offset + by * PAGE;
  if (to >= 0 && (by < 0 || to < total)) { state.offset = to; write(); search(); }
}
function step(by) {
  const i = rows.findIndex(r => r.key === state.key);
  const to = rows[i < 0 ? 0 : i + by];
  if (to) choose(to.key);
}

let waiting = 0;
at("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { state.q = at("search").value.trim(); state.offset = 0; write(true); search(); }, 120);
});
at("sort").addEventListener("change", () => { state.sort = at("sort").value; state.offset = 0; write(); search(); });
at("way").addEventListener("click", () => { state.desc = !state.desc; state.offset = 0; write(); search(); });
at("previous").addEventListener("click", () => page(-1));
at("next").addEventListener("click", () => page(1));
at("show-help").addEventListener("click", () => at("help").showModal());
at("show-filters").addEventListener("click", () => {
  const open = at("filters").classList.toggle("open");
  at("show-filters").setAttribute("aria-expanded", String(open));
});
document.addEventListener("keydown", e => {
  const writing = e.target instanceof HTMLElement && e.target.matches("input,select,textarea");
  if (e.key === "Escape") { if (writing) e.target.blur(); else if (!at("help").open) back(); at("filters").classList.remove("open"); return; }
  if (writing || e.ctrlKey || e.metaKey || e.altKey || at("help").open) return;
  const video = document.querySelector("#row video"), box = video?.parentElement;
  const actions = { j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), n: () => page(1), p: () => page(-1),
    "/": () => at("search").focus(), "?": () => at("help").showModal(), c: link, e: () => { all = !all; shownKey = ""; if (state.key) open(state.key); },
    " ": () => video && (video.paused ? video.play() : video.pause()), 1: () => box && mode(box, 0), 2: () => box && mode(box, 1), 3: () => box && mode(box, 2),
    Enter: () => e.target.dataset?.key && choose(e.target.dataset.key) };
  if (e.key === "Enter" && !e.target.dataset?.key) return;
  if (e.key in actions) { e.preventDefault(); actions[e.key](); }
});
addEventListener("popstate", () => { read(); search(); });
async function follow() {
  try {
    const now = await get("api/runs", {});
    const changed = now.some((r, i) => r.version !== runs[i].version || r.state !== runs[i].state);
    runs = now;
    if (changed) search(true);
  } catch (error) { fail(error); }
  setTimeout(follow, runs.some(r => r.state === "running") ? 3000 : 15000);
}
(async () => {
  try { runs = await get("api/runs", {}); read(); await search(); if (state.key) document.body.classList.add("reading"); } catch (error) { fail(error); }
  setTimeout(follow, 3000);
})();
