"use strict";
const at = id => document.getElementById(id);
let number = 0, keys = {}, since = 0, busy = false;

async function show() {
  const reply = await fetch("api/item?item=" + number);
  at("ask").replaceChildren(); at("keys").replaceChildren(); at("clip").replaceChildren();
  if (!reply.ok) { keys = {}; at("left").textContent = "Done. Thank you."; return; }
  const item = await reply.json();
  keys = item.keys; since = performance.now();
  at("left").textContent = item.left + " left";
  at("clip").append(clip({ item: number }, item.clip));
  const video = document.querySelector("video");
  video.play().catch(() => null);
  at("ask").append(...item.ask.map(line => el("p", {}, line)));
  at("keys").append(...Object.entries(keys).map(([key, verdict]) => el("button", { onclick: () => say(key) }, el("kbd", {}, key), " " + verdict)));
}
async function say(key) {
  if (busy || !(key in keys)) return;
  busy = true;
  try {
    const body = JSON.stringify({ key, seconds: (performance.now() - since) / 1000 });
    const reply = await fetch("api/verdict?item=" + number, { method: "POST", body });
    at("error").hidden = reply.ok;
    at("error").textContent = reply.ok ? "" : "The verdict was not saved: " + (await reply.text());
    if (reply.ok) { number += 1; await show(); }
  } catch (error) { at("error").hidden = false; at("error").textContent = "The verdict was not saved: the page's server has ended."; }
  busy = false;
}
document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const video = document.querySelector("video"), box = video?.parentElement;
  if (e.key === " " && video) { e.preventDefault(); if (video.ended || !video.paused) video.currentTime = 0; video.play(); }
  else if ("123".includes(e.key) && box) mode(box, Number(e.key) - 1);
  else if (e.key === "Backspace" && number > 0 && !busy) { e.preventDefault(); number -= 1; show(); }
  else say(e.key.toLowerCase());
});
show();
