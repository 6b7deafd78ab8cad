// Times as people read them, and what the page was given.

const BASE64_PART = 2 ** 20; // four characters are three bytes

function $(id) {
  return document.getElementById(id);
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A stream time, as `saying.stamp` writes it; `digits` behind the second.
function stamp(ms, digits = 3) {
  const unit = 10 ** (3 - digits);
  const whole = Math.round(Math.abs(ms) / unit) * unit;
  const minutes = Math.floor(whole / 60_000);
  const two = (number) => String(number).padStart(2, "0");
  const clock = minutes < 60 ? two(minutes) : `${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
  const seconds = ((whole % 60_000) / 1000).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${ms < 0 && whole ? "-" : ""}${clock}:${seconds}`;
}

function seconds(value) {
  if (value <= 0 || value >= 0.1) return `${value.toFixed(2)} s`;
  return `${(1000 * value).toFixed(value >= 0.001 ? 0 : 1)} ms`;
}

// The time of day, where the page is read.
function clock(unix, digits = 3) {
  const unit = 10 ** (3 - digits);
  const date = new Date(Math.floor((unix * 1000) / unit + 1e-6) * unit);
  const time = date.toLocaleTimeString("en-GB");
  return digits ? `${time}.${String(date.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : time;
}

// In parts, as an hour of audio is too much to be decoded at once.
function decoded(base64, type) {
  const parts = [];
  for (let at = 0; at < base64.length; at += BASE64_PART) {
    const text = atob(base64.slice(at, at + BASE64_PART));
    const part = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) part[i] = text.charCodeAt(i);
    parts.push(part);
  }
  return new Blob(parts, { type });
}

// It failed, before its Begin or after.
function isLost({ outcome }) {
  return outcome === "lost" || outcome === "not_opened";
}

async function readData() {
  const packed = decoded($("data").textContent, "application/gzip");
  const text = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(text).json();
  for (const level of data.waveform) level.peaks = new Int8Array(await decoded(level.peaks).arrayBuffer());
  return data;
}

// When audio of the stream was pushed: a moment's time of day by its stream time.
class Pace {
  constructor(points) {
    this.points = points;
  }

  unix(ms) {
    const { points } = this;
    let [low, high] = [0, points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle].ms <= ms) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return points[0].unix + (ms - points[0].ms) / 1000;
    const [before, after] = [points[low - 1], points[low]];
    if (!after) return before.unix + (ms - before.ms) / 1000;
    const part = (ms - before.ms) / (after.ms - before.ms);
    return before.unix + part * (after.unix - before.unix);
  }
}
