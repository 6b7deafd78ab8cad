// Draws a lane: time from left to right, in the stream's own time.

import { BUCKET_MS } from "./model.js";

const SESSIONS_Y = 8;
const WAVE_TOP = 22;
const COLOURS = ["line", "text", "soft", "accent", "bad", "warn", "good", "wave", "replay", "partial", "card"];

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.panMs = 0;
  }

  get pixelsPerMs() {
    return (this.canvas.clientWidth < 500 ? 70 : 100) / 1000;
  }

  // `edgeMs` is at the right edge; `waiting` says that a lost session has no successor.
  draw(lane, edgeMs, { colours, waiting }) {
    const { canvas, context: c } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    const scale = this.pixelsPerMs;
    this.panMs = Math.min(this.panMs, Math.max(0, edgeMs - width / scale));
    const right = edgeMs - this.panMs;
    const left = Math.max(0, right - (width - 14) / scale);
    const view = { left, right: left + width / scale, x: (ms) => (ms - left) * scale };
    this.layout = { width, height, middle: (WAVE_TOP + height - 60) / 2, bottom: height - 60, wordsY: height - 42 };
    this.colours = colours;
    c.font = '12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
    c.textBaseline = "alphabetic";
    this.#times(view);
    this.#missing(lane, view, edgeMs, waiting);
    let had = 0; // up to here there was audio before
    lane.sessions.forEach((session, i) => {
      this.#session(session, lane.sessions.slice(i + 1), i, had, view);
      had = Math.max(had, session.endMs);
    });
    for (const session of lane.sessions) this.#marks(session, view);
    this.#words(lane, view);
  }

  #times({ left, right, x }) {
    const { context: c, layout, colours } = this;
    for (let s = Math.ceil(left / 1000); s * 1000 < right; s++) {
      const at = Math.round(x(s * 1000)) + 0.5;
      c.strokeStyle = colours.line;
      c.globalAlpha = s % 5 ? 0.4 : 1;
      c.beginPath();
      c.moveTo(at, WAVE_TOP);
      c.lineTo(at, layout.height - 14);
      c.stroke();
      c.globalAlpha = 1;
      if (s % 5 === 0) this.#text(`${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`, Math.max(2, at - 11), layout.height - 3, colours.soft);
    }
  }

  // Audio that has not come yet, though it is time: hatched.
  #missing(lane, { x, left }, edgeMs, waiting) {
    const { context: c, layout, colours } = this;
    const from = Math.max(lane.endMs, left);
    if (edgeMs - from < 300 || !(waiting || lane.isOpen)) return;
    const [start, end] = [x(from), x(edgeMs)];
    c.save();
    c.beginPath();
    c.rect(start, WAVE_TOP, end - start, layout.bottom - WAVE_TOP);
    c.clip();
    c.strokeStyle = waiting ? colours.bad : colours.warn;
    c.globalAlpha = 0.35;
    c.beginPath();
    for (let at = start - 80; at < end; at += 9) {
      c.moveTo(at, layout.bottom);
      c.lineTo(at + 80, WAVE_TOP - 10);
    }
    c.stroke();
    c.restore();
    if (end - start > 70) this.#text(waiting ? "no session" : "behind", start + 6, layout.middle + 4, waiting ? colours.bad : colours.warn);
  }

  // `later` are the sessions after it, which may have sent some of it again.
  #session(session, later, i, had, { left, right, x }) {
    const { context: c, layout, colours } = this;
    const bar = (from, to, colour) => {
      if (to <= from || to < left || from > right) return;
      c.fillStyle = colour;
      c.fillRect(x(from), SESSIONS_Y + (i % 2) * 5, Math.max(2, x(to) - x(from)), 4);
    };
    const replayed = Math.min(had, session.endMs);
    bar(session.offset, session.endMs, colours.accent);
    bar(session.offset, replayed, colours.replay);
    if (i && replayed > session.offset) {
      c.globalAlpha = 0.13;
      c.fillStyle = colours.replay;
      c.fillRect(x(session.offset), WAVE_TOP, x(replayed) - x(session.offset), layout.bottom - WAVE_TOP);
      c.globalAlpha = 1;
      this.#text("replay", x(session.offset) + 3, WAVE_TOP + 10, colours.replay);
    }
    const room = (layout.bottom - WAVE_TOP) / 2;
    const shape = (from, to, colour) => {
      const first = Math.max(session.first, Math.floor((Math.max(from, left) - session.offset) / BUCKET_MS));
      const end = Math.min(session.first + session.wave.length / 2, Math.ceil((Math.min(to, right) - session.offset) / BUCKET_MS));
      c.fillStyle = colour;
      const step = this.pixelsPerMs * BUCKET_MS;
      for (let b = first; b < end; b++) {
        const at = 2 * (b - session.first);
        const [low, high] = [session.wave[at], session.wave[at + 1]];
        const top = layout.middle - (loud(high) * room);
        const bottom = layout.middle - (loud(low) * room);
        c.fillRect(x(session.offset + b * BUCKET_MS), top, Math.max(1, step - 1), Math.max(1.5, bottom - top));
      }
    };
    const last = (from, to, colour) => {
      for (const { offset, endMs } of later) {
        shape(from, Math.min(to, offset), colour);
        from = Math.max(from, endMs);
      }
      shape(from, to, colour);
    };
    last(Math.max(had, session.offset), Infinity, colours.wave);
    if (i) last(session.offset, replayed, colours.replay);
  }

  #marks(session, { left, right, x }) {
    const { context: c, layout, colours } = this;
    const base = layout.height - 57;
    let labelled = -Infinity;
    for (const [kind, from, until, text] of session.marks) {
      const ms = session.offset + from;
      const at = x(ms);
      if ((until === null ? ms : session.offset + until) < left - 2000 || ms > right) continue;
      if (kind === "silence") {
        c.fillStyle = colours.line;
        c.fillRect(at, base, x(session.offset + until) - at, 2);
      } else if (kind === "speech") {
        c.fillStyle = colours.good;
        c.beginPath();
        c.moveTo(at, base - 5);
        c.lineTo(at + 6, base - 1);
        c.lineTo(at, base + 3);
        c.fill();
      } else if (kind === "endpoint") {
        c.fillStyle = colours.good;
        c.fillRect(at, base - 5, 2.5, 8);
      } else {
        const bad = kind !== "end" || session.how !== "closed 1000";
        c.strokeStyle = bad ? colours.bad : colours.soft;
        c.lineWidth = kind === "end" ? 1.5 : 1;
        c.setLineDash(kind === "end" ? [] : [3, 3]);
        c.beginPath();
        c.moveTo(at, 4);
        c.lineTo(at, layout.height - 56);
        c.stroke();
        c.setLineDash([]);
        c.lineWidth = 1;
        const label = kind === "end" ? session.how : text.split(",")[0];
        if (kind !== "error" && (at > labelled + 60 || at < labelled)) {
          const where = at + 4 + c.measureText(label).width > layout.width ? at - 4 - c.measureText(label).width : at + 4;
          this.#text(label, where, layout.bottom - 2, c.strokeStyle);
          labelled = at;
        }
      }
    }
  }

  #words(lane, { left, right, x }) {
    const { context: c, layout, colours } = this;
    const free = [-Infinity, -Infinity]; // two rows, by turns where words are close
    const write = (session, turn, colour) => {
      const shown = turn.words.filter(([start, end]) => session.offset + end > left - 1000 && session.offset + start < right);
      c.fillStyle = colour;
      for (const [start, end, text] of shown) {
        const at = x(session.offset + start);
        c.fillRect(at, layout.wordsY - 12, Math.max(2, x(session.offset + end) - at - 1), 1.5);
        const row = free.findIndex((x) => at >= x);
        if (row < 0) continue;
        c.fillText(text, at, layout.wordsY + 2 + 14 * row);
        free[row] = at + c.measureText(text).width + 2;
      }
    };
    for (const { session, turn } of lane.finals) write(session, turn, colours.text);
    if (lane.partial) write(lane.open, lane.partial, colours.partial);
  }

  #text(text, x, y, colour) {
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y);
  }
}

// From -1 to 1; quiet speech is to be seen as well.
function loud(value) {
  return Math.sign(value) * Math.sqrt(Math.abs(value) / 128);
}
