// A lane on the page: its head, its waveform, what was said, and its details.

import { Drawing } from "./drawing.js";
import { textOf } from "./model.js";

const MOST_FINALS = 60;
const MOST_LINES = 300;
const PAN_MS = 1000;

export class LaneView {
  #details = false;
  #finals = "";
  #visible = true;
  #lines = new Map();

  // `choose` is called when it is chosen, `read` with the session whose messages it
  // shows, or null; `said` with the text of each new final; `dirty` when it should draw.
  constructor(lane, { choose, read, said, dirty }) {
    Object.assign(this, { lane, read, said, dirty });
    this.element = document.querySelector("#lane").content.firstElementChild.cloneNode(true);
    const find = (selector) => this.element.querySelector(selector);
    this.parts = {
      choose: find(".choose"), badge: find(".badge"), facts: find(".facts"), canvas: find("canvas"),
      transcript: find(".transcript"), finals: find(".finals"), partial: find(".partial"),
      open: find(".details-open"), details: find(".details"), session: find(".session"),
      options: find(".options"), messages: find(".messages"),
    };
    find(".name").textContent = `Stream ${lane.number}`;
    this.element.dataset.lane = lane.number;
    this.element.setAttribute("aria-label", `Stream ${lane.number}`);
    this.drawing = new Drawing(this.parts.canvas);
    this.parts.choose.onclick = choose;
    this.parts.open.onclick = () => this.toggle();
    this.parts.session.onchange = () => this.#showSession();
    this.#watchPan();
    this.observer = new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting;
      if (this.#visible) dirty();
    });
    this.observer.observe(this.element);
    this.resized = new ResizeObserver(dirty);
    this.resized.observe(this.parts.canvas);
  }

  remove() {
    this.observer.disconnect();
    this.resized.disconnect();
    if (this.#details) this.read(null);
    this.element.remove();
  }

  set chosen(yes) {
    this.element.classList.toggle("chosen", yes);
    this.parts.choose.setAttribute("aria-pressed", yes);
  }

  moves(now) {
    return this.#visible && !this.drawing.panMs && (this.lane.isOpen || this.lane.isWaiting(now));
  }

  draw(now, colours) {
    if (!this.#visible) return;
    const { lane, parts } = this;
    const waiting = lane.isWaiting(now);
    const edge = lane.isOpen || waiting ? Math.max(lane.endMs, lane.dueMs(now)) : lane.endMs + 400;
    this.drawing.draw(lane, edge, { colours, waiting });
    setText(parts.facts, this.#facts(now));
  }

  // Something was told of it.
  update(now) {
    const { lane, parts } = this;
    const [badge, kind] = this.#state(now);
    setText(parts.badge, badge);
    parts.badge.className = `badge ${kind}`;
    const finals = lane.finals;
    const text = finals.slice(-MOST_FINALS).map(({ turn }) => textOf(turn)).join(" ");
    if (text !== this.#finals) {
      this.#finals = text;
      parts.finals.textContent = text;
      this.said(textOf(finals.at(-1).turn));
      parts.canvas.setAttribute("aria-label", `Waveform of stream ${lane.number}: ${Math.round(lane.endMs / 1000)} s of audio in ${count(lane.sessions.length, "session")}`);
    }
    setText(parts.partial, lane.partial ? textOf(lane.partial) : "");
    parts.transcript.scrollTop = parts.transcript.scrollHeight;
    if (this.#details) this.#listSessions();
    this.dirty();
  }

  toggle(open = !this.#details) {
    if (open === this.#details) return;
    this.#details = open;
    this.parts.details.hidden = !open;
    this.parts.open.setAttribute("aria-expanded", open);
    this.parts.open.textContent = open ? "Hide" : "Details";
    if (open) {
      this.#listSessions();
      this.#showSession();
    } else this.read(null);
  }

  // Messages of a session that it asked to read.
  log({ first, items }) {
    const { messages } = this.parts;
    if (first) this.#clearLog();
    const end = messages.scrollTop + messages.clientHeight > messages.scrollHeight - 8;
    for (const [seconds, way, text, times, key] of items) {
      let line = this.#lines.get(key);
      if (!line) {
        line = messages.appendChild(document.createElement("li"));
        for (const part of ["time", "b", "code"]) line.append(document.createElement(part));
        line.children[0].textContent = `${seconds.toFixed(2)} s`;
        line.children[1].textContent = way === "in" ? "→" : "←";
        line.children[1].className = way;
        line.children[1].setAttribute("aria-label", way === "in" ? "from the client" : "to the client");
        this.#lines.set(key, line);
      }
      line.children[2].textContent = times > 1 ? `${text} × ${times}` : text;
    }
    while (messages.children.length > MOST_LINES) messages.firstElementChild.remove();
    if (end) messages.scrollTop = messages.scrollHeight;
  }

  #state(now) {
    const { lane } = this;
    if (lane.isOpen) return ["live", "live"];
    if (lane.isWaiting(now)) return [`lost: ${lane.last.how}`, "lost"];
    return [lane.wasLost ? `ended: ${lane.last.how}` : "ended", ""];
  }

  #facts(now) {
    const { lane } = this;
    const facts = [lane.last.options.speech_model, `${(lane.endMs / 1000).toFixed(1)} s`];
    if (lane.sessions.length > 1) facts.push(count(lane.sessions.length, "session"));
    if (lane.isOpen || lane.isWaiting(now)) facts.push(`${(lane.behind(now) / 1000).toFixed(1)} s behind`);
    return facts.filter(Boolean).join(" · ");
  }

  #listSessions() {
    const { session } = this.parts;
    const numbers = this.lane.sessions.map((s) => String(s.n));
    if (numbers.join() === [...session.options].map((o) => o.value).join()) return;
    session.replaceChildren(...numbers.map((n, i) => new Option(`${i + 1} (connection ${n})`, n)));
    session.value = numbers.at(-1);
    this.#showSession();
  }

  #showSession() {
    const session = this.lane.sessions.find((s) => String(s.n) === this.parts.session.value);
    if (!session) return;
    this.#clearLog();
    const options = { id: session.id, ...session.options };
    this.parts.options.replaceChildren(...Object.entries(options).map(([name, value]) => {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      pair.children[0].textContent = name;
      pair.children[1].textContent = typeof value === "string" ? value : JSON.stringify(value);
      return pair;
    }));
    this.read(session.n);
  }

  #clearLog() {
    this.#lines.clear();
    this.parts.messages.replaceChildren();
  }

  #watchPan() {
    const { canvas } = this.parts;
    const pan = (ms) => {
      this.drawing.panMs = Math.max(0, this.drawing.panMs + ms);
      this.dirty();
    };
    canvas.onkeydown = (event) => {
      if (event.key === "ArrowLeft") pan(PAN_MS);
      else if (event.key === "ArrowRight") pan(-PAN_MS);
      else if (event.key === "End") pan(-Infinity);
      else return;
      event.preventDefault();
    };
    canvas.addEventListener("wheel", (event) => {
      if (Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return; // it is for the page
      event.preventDefault();
      pan(-event.deltaX / this.drawing.pixelsPerMs);
    }, { passive: false });
    canvas.onpointerdown = (event) => canvas.setPointerCapture(event.pointerId);
    canvas.onpointermove = (event) => {
      if (event.buttons & 1) pan(event.movementX / this.drawing.pixelsPerMs);
    };
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function count(n, what) {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
