// The page: what the server tells goes to the model, the model to the views.

import { readColours } from "./drawing.js";
import { LaneView } from "./lane.js";
import { Link } from "./link.js";
import { Model } from "./model.js";
import { Outages } from "./outages.js";
import { Microphone, streamFile } from "./tryit.js";

const FRAME_MS = 30;
const find = (selector) => document.querySelector(selector);
const model = new Model();
const views = new Map(); // by the lane's number
const dirty = new Set();
let chosen = null; // a lane's number
let reader = null; // the view that reads messages
let colours = readColours();
let scheduled = false;
let drawn = 0;

const link = new Link({
  told(message) {
    if (message.presets) return outages.presets(message.presets);
    if (message.failed) return outages.failed(message.failed);
    if (message.outages) outages.told(message.outages);
    const changed = model.update(message);
    arrange();
    for (const number of changed) views.get(number)?.update(model.now);
    if (message.messages) reader?.log(message.messages);
  },
  state(up) {
    const state = find("#link");
    state.textContent = up ? "connected" : "the server is gone; trying again";
    state.classList.toggle("live", up);
    if (up) {
      model.clear();
      for (const view of views.values()) view.remove();
      views.clear();
      reader = null;
      arrange();
    }
  },
});

const outages = new Outages({
  send: (command) => link.send(command),
  target() {
    const open = model.lanes.get(chosen)?.open;
    return open ? { session: open.n, name: `stream ${chosen}` } : null;
  },
});

const microphone = new Microphone({
  token: () => link.token(),
  changed(on) {
    find("#microphone").setAttribute("aria-pressed", on);
    find("#microphone").textContent = on ? "Stop microphone" : "Microphone";
  },
});

// Lanes

function arrange() {
  const { lanes } = model;
  for (const [number, view] of [...views]) {
    if (lanes.has(number)) continue;
    if (view === reader) reader = null;
    view.remove();
    views.delete(number);
    dirty.delete(view);
  }
  for (const lane of lanes.values()) {
    if (views.has(lane.number)) continue;
    const view = new LaneView(lane, {
      choose: () => choose(lane.number),
      read: (session) => read(view, session),
      said: (text) => lane.number === chosen && (find("#said").textContent = text),
      dirty: () => markDirty(view),
    });
    views.set(lane.number, view);
    find("#lanes").prepend(view.element); // the newest is the first
    view.update(model.now);
  }
  if (!lanes.get(chosen)?.open) {
    const open = [...lanes.values()].findLast((lane) => lane.open);
    if (!lanes.has(chosen) || (open && !lanes.get(chosen).isWaiting(model.now))) choose(open?.number ?? [...lanes.keys()].at(-1) ?? null);
  }
  find("#empty").hidden = lanes.size > 0;
  const open = [...lanes.values()].filter((lane) => lane.isOpen).length;
  const summary = lanes.size ? `${lanes.size} ${lanes.size === 1 ? "stream" : "streams"}, ${open} live` : "";
  if (find("#summary").textContent !== summary) find("#summary").textContent = summary;
  outages.refresh();
}

function choose(number) {
  chosen = number;
  for (const [other, view] of views) view.chosen = other === number;
  outages.refresh();
}

function step(by) {
  const numbers = [...views.keys()].reverse();
  const next = numbers[numbers.indexOf(chosen) + by];
  if (next === undefined) return;
  choose(next);
  views.get(next).parts.choose.focus();
  views.get(next).element.scrollIntoView({ block: "nearest" });
}

function read(view, session) {
  if (session === null && reader !== view) return;
  if (session !== null && reader && reader !== view) {
    const other = reader;
    reader = null;
    other.toggle(false); // one at a time
  }
  reader = session === null ? null : view;
  link.send({ do: "read", session });
}

// Drawing, when something has changed

function markDirty(view) {
  dirty.add(view);
  schedule();
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(frame);
}

function frame(time) {
  scheduled = false;
  if (time - drawn < FRAME_MS) return schedule();
  drawn = time;
  const { now } = model;
  const drawing = [...dirty];
  dirty.clear();
  for (const view of drawing) view.draw(now, colours);
  // Time itself moves what is live, and what waits.
  for (const view of views.values()) if (view.moves(now)) markDirty(view);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours = readColours();
  for (const view of views.values()) markDirty(view);
});

// Streams of one's own

async function attempt(work) {
  const notice = find("#notice");
  notice.hidden = true;
  try {
    await work();
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
  }
}

function stream(files) {
  for (const file of files) attempt(() => streamFile(file, () => link.token()));
}

find("#microphone").onclick = () => attempt(() => microphone.toggle());
find("#file").onchange = ({ target }) => {
  stream(target.files);
  target.value = "";
};
find("#url").textContent = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
let over = 0; // dragenter and dragleave come for every element
for (const kind of ["dragenter", "dragleave", "dragover", "drop"])
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    over = kind === "drop" ? 0 : over + (kind === "dragenter") - (kind === "dragleave");
    find("#drop").hidden = over <= 0;
    if (kind === "drop") stream(event.dataTransfer.files);
  });

// Keys

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  s: () => (outages.scope = "session"),
  o: () => (outages.scope = "open"),
  n: () => (outages.scope = "next"),
  a: () => (outages.scope = "all"),
  x: () => outages.stop(),
  m: () => find("#microphone").click(),
  f: () => find("#file").click(),
  d: () => views.get(chosen)?.toggle(),
  "?": () => find("#help").showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=radio]), select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^[1-9]$/.test(event.key)) outages.press(Number(event.key));
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});
find("#help-open").onclick = () => find("#help").showModal();
find("#outages-open").onclick = ({ target }) => {
  target.setAttribute("aria-expanded", find("#outages").classList.toggle("open"));
};
