"use strict";
// everything of a row is put in as text, never as markup
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter(c => c !== null && c !== undefined && c !== "").map(c => (c instanceof Node ? c : String(c))));
  return node;
}
async function get(path, params) {
  const reply = await fetch(path + "?" + new URLSearchParams(params));
  const body = await reply.json().catch(() => ({ error: "the viewer does not answer", hint: "Start it again." }));
  if (!reply.ok) throw new Error(`${body.error} ${body.hint || ""}`);
  return body;
}
// a clip with poster and waveform, to be played whole, heard or seen alone; query names it to the server
function clip(query, c) {
  query = new URLSearchParams(query);
  const cut = c.start || c.end ? `#t=${c.start || 0}${c.end ? "," + c.end : ""}` : "";
  const video = el("video", { controls: "", preload: "metadata", playsinline: "", src: `media?${query}${cut}`, poster: `poster?${query}` });
  const waves = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const box = el("div", {}, video, waves, el("div", { class: "modes" }, ...["sound and picture", "sound alone", "picture alone"].map((name, i) =>
    el("button", { "aria-pressed": String(i === 0), "data-mode": i, onclick: () => mode(box, i) }, name))), el("code", { class: "soft" }, c.name));
  draw(waves, query, video, c);
  return box;
}
function mode(box, i) {
  const video = box.querySelector("video");
  video.muted = i === 2;
  box.classList.toggle("hidden-picture", i === 1);
  for (const b of box.querySelectorAll("[data-mode]")) b.setAttribute("aria-pressed", String(Number(b.dataset.mode) === i));
}
async function draw(svg, query, video, c) {
  const space = svg.namespaceURI, bar = (name, attributes) => {
    const node = document.createElementNS(space, name);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    svg.append(node);
    return node;
  };
  svg.setAttribute("class", "wave");
  let peaks = [];
  try { peaks = await get("api/wave", query); } catch (error) { svg.remove(); return; }
  if (!peaks.length) { svg.replaceWith(el("small", { class: "soft" }, "no sound")); return; }
  svg.setAttribute("viewBox", `0 0 ${peaks.length * 2} 46`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-label", "waveform");
  peaks.forEach((p, i) => bar("rect", { x: i * 2, y: 23 - 22 * p, width: 1.5, height: Math.max(0.6, 44 * p) }));
  const head = bar("line", { x1: 0, x2: 0, y1: 0, y2: 46 });
  const begin = c.start || 0, length = () => (c.end ?? video.duration ?? begin) - begin || 1;
  video.addEventListener("timeupdate", () => { const x = (video.currentTime - begin) / length() * peaks.length * 2; head.setAttribute("x1", x); head.setAttribute("x2", x); });
  svg.addEventListener("click", e => { const r = svg.getBoundingClientRect(); video.currentTime = begin + (e.clientX - r.left) / r.width * length(); });
}
