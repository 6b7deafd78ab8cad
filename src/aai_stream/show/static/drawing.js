// Draws what is visible of the call: from top to bottom the time of day, the waveform
// and what happened in it, words, the stream's time, a lane for sessions.

const WAVE_TOP = 22;
const WAVE_HEIGHT = 120;
const WORDS_Y = WAVE_TOP + WAVE_HEIGHT + 18;
const RULER_Y = WORDS_Y + 40;
const LANES_Y = RULER_Y + 10;
const LANE_HEIGHT = 34;
const COLOURS = ["line", "text", "soft", "accent", "bad", "bad-soft", "warn", "good", "wave", "replay", "partial", "card"];
const STEPS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];

class Drawing {
  constructor(canvas, data, view) {
    Object.assign(this, { canvas, view, waveform: data.waveform, call: data.call });
    this.context = canvas.getContext("2d");
    this.pace = new Pace(data.call.pace);
    this.lanes = laneOfEach(data.call.sessions);
    const count = Math.max(1, ...this.lanes.map((lane) => lane + 1));
    this.height = LANES_Y + count * LANE_HEIGHT + 6;
    canvas.style.height = `${this.height}px`;
    // By their start, to find those that are visible.
    this.words = data.call.turns.flatMap((turn) => turn.words.map((word) => ({ ...word, isFinal: turn.is_final })));
    this.words.sort((a, b) => a.start - b.start);
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  draw(cursorMs) {
    const { canvas, context: c, view, height } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    view.resize(width);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = '12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
    this.#rulers();
    this.#outages();
    this.#wave();
    this.#gaps();
    this.#speech();
    this.#words();
    this.call.sessions.forEach((session, i) => this.#session(session, this.lanes[i]));
    this.#cursor(cursorMs);
  }

  #rulers() {
    const { context: c, view, colours } = this;
    const step = STEPS.find((ms) => ms * view.scale >= 84) ?? STEPS.at(-1);
    const digits = step < 1000 ? 1 : 0;
    for (let ms = Math.ceil(view.left / step) * step; ms < view.right; ms += step) {
      const at = Math.round(view.x(ms)) + 0.5;
      this.#line(at, WAVE_TOP - 4, RULER_Y - 14, colours.line);
      this.#text(clock(this.pace.unix(ms), digits), at + 3, 12, colours.soft);
      this.#text(stamp(ms, digits), at + 3, RULER_Y, colours.soft);
    }
    for (const pause of this.call.pauses) {
      const at = view.x(pause.at.ms);
      if (at < -200 || at > view.width) continue;
      this.#line(at, WAVE_TOP - 4, WAVE_TOP + WAVE_HEIGHT, colours.warn, [2, 3]);
      this.#text(`nothing pushed for ${seconds(pause.seconds)}`, at + 4, WAVE_TOP + 10, colours.warn);
    }
    c.globalAlpha = 1;
  }

  #outages() {
    const { context: c, view, colours } = this;
    for (const { start, end } of this.call.outages) {
      if (!this.#isVisible(start.ms, end.ms)) continue;
      const [from, to] = [view.x(start.ms), Math.max(view.x(end.ms), view.x(start.ms) + 2)];
      c.fillStyle = colours["bad-soft"];
      c.fillRect(from, WAVE_TOP, to - from, WAVE_HEIGHT);
      this.#line(from, WAVE_TOP, this.height, colours.bad, [3, 3]);
      if (to - from > 120) this.#text(`no session for ${seconds(end.unix - start.unix)}`, Math.max(4, from + 4), WAVE_TOP + 12, colours.bad);
    }
  }

  #wave() {
    const { context: c, view, colours, waveform } = this;
    const level = waveform.findLast((each) => each.ms * view.scale <= 1) ?? waveform[0];
    const { ms, peaks } = level;
    const middle = WAVE_TOP + WAVE_HEIGHT / 2;
    const step = Math.max(1, ms * view.scale);
    const end = Math.min(view.width, view.x((peaks.length / 2) * ms));
    c.fillStyle = colours.wave;
    for (let x = Math.max(0, Math.floor(view.x(0) / step) * step); x < end; x += step) {
      const first = Math.max(0, Math.floor(view.ms(x) / ms));
      const last = Math.min(peaks.length / 2, Math.max(first + 1, Math.floor(view.ms(x + step) / ms)));
      let [low, high] = [127, -128];
      for (let i = first; i < last; i++) {
        low = Math.min(low, peaks[2 * i]);
        high = Math.max(high, peaks[2 * i + 1]);
      }
      if (last <= first) continue;
      const top = middle - (loud(high) * WAVE_HEIGHT) / 2;
      const bottom = middle - (loud(low) * WAVE_HEIGHT) / 2;
      c.fillRect(x, top, step > 2 ? step - 0.5 : step, Math.max(1, bottom - top));
    }
    for (const session of this.call.sessions) {
      for (const [from, to] of session.replayed) this.#band(from, to, colours.replay, 0.2, "sent again");
    }
  }

  #gaps() {
    const { context: c, view, colours } = this;
    for (const gap of this.call.gaps) {
      if (!this.#isVisible(gap.start_ms, gap.end_ms)) continue;
      const colour = gap.is_lost ? colours.bad : colours.warn;
      const [from, to] = [view.x(gap.start_ms), Math.max(view.x(gap.end_ms), view.x(gap.start_ms) + 2)];
      c.save();
      c.beginPath();
      c.rect(from, WAVE_TOP, to - from, WAVE_HEIGHT);
      c.clip();
      c.strokeStyle = colour;
      c.globalAlpha = 0.5;
      c.beginPath();
      for (let at = Math.max(from, 0) - WAVE_HEIGHT; at < Math.min(to, view.width); at += 9) {
        c.moveTo(at, WAVE_TOP + WAVE_HEIGHT);
        c.lineTo(at + WAVE_HEIGHT, WAVE_TOP);
      }
      c.stroke();
      c.restore();
      const label = gap.is_lost ? "lost" : "left out";
      if (to - from > 46) this.#text(label, Math.max(4, from + 4), WAVE_TOP + WAVE_HEIGHT - 5, colour);
    }
  }

  #speech() {
    const { context: c, view, colours } = this;
    c.fillStyle = colours.good;
    const y = WAVE_TOP + WAVE_HEIGHT;
    for (const ms of this.call.speech) {
      if (!this.#isVisible(ms, ms)) continue;
      const x = view.x(ms);
      c.beginPath();
      c.moveTo(x, y - 9);
      c.lineTo(x + 7, y - 4.5);
      c.lineTo(x, y);
      c.fill();
    }
  }

  // As many as there is room for, in two rows where they are close; the others have
  // their bar at least.
  #words() {
    const { context: c, view, colours } = this;
    const free = Array(view.scale > 0.03 ? 2 : view.scale > 0.008 ? 1 : 0).fill(-Infinity);
    for (let i = this.#firstWord(view.left - 5000); i < this.words.length; i++) {
      const word = this.words[i];
      if (word.start > view.right) break;
      const at = view.x(word.start);
      c.fillStyle = word.isFinal ? colours.text : colours.partial;
      c.fillRect(at, WORDS_Y - 12, Math.max(1, view.x(word.end) - at - 1), 2);
      const row = free.findIndex((x) => at >= x);
      if (row < 0) continue;
      const wide = c.measureText(word.text).width;
      c.fillText(word.text, at, WORDS_Y + 3 + 14 * row);
      free[row] = at + wide + 4;
    }
  }

  #firstWord(ms) {
    let [low, high] = [0, this.words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[middle].start < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #session(session, lane) {
    const { context: c, view, colours } = this;
    const y = LANES_Y + lane * LANE_HEIGHT;
    const over = session.over_at ?? session.heard_at;
    if (!this.#isVisible(...extent(session))) return;
    const bar = (from, to, top, high, colour) => {
      const [left, right] = [Math.max(-2, view.x(from)), Math.min(view.width + 2, view.x(to))];
      c.fillStyle = colour;
      if (right >= left) c.fillRect(left, top, Math.max(1.5, right - left), high);
    };
    const opened = session.began_at ?? over;
    c.strokeStyle = colours.soft;
    const [asked, open] = [view.x(session.asked_at.ms), view.x(opened.ms)];
    c.strokeRect(asked, y + 16.5, Math.max(1, open - asked), 4);
    if (session.began_at) bar(session.began_at.ms, over.ms, y + 16, 5, colours.good);
    for (const [from, to] of session.sent) bar(from, to, y + 24, 4, colours.wave);
    for (const [from, to] of session.replayed) bar(from, to, y + 24, 4, colours.replay);
    const colour = isLost(session) ? colours.bad : colours.soft;
    if (session.over_at) bar(over.ms, over.ms, y + 13, 10, colour);
    const [first, last] = extent(session);
    const left = Math.max(4, view.x(first));
    const label = this.#fitting(`session ${session.number} · ${howItEnded(session)}`, Math.max(76, view.x(last) - left - 8));
    this.#text(label, left, y + 11, colour);
  }

  #cursor(ms) {
    const { context: c, view, colours } = this;
    const x = view.x(ms);
    if (x < 0 || x > view.width) return;
    this.#line(x, 0, this.height, colours.accent, [], 2);
    c.lineWidth = 1;
  }

  #band(from, to, colour, alpha, label) {
    const { context: c, view } = this;
    if (!this.#isVisible(from, to)) return;
    c.globalAlpha = alpha;
    c.fillStyle = colour;
    c.fillRect(view.x(from), WAVE_TOP, Math.max(1, view.x(to) - view.x(from)), WAVE_HEIGHT);
    c.globalAlpha = 1;
    if (view.x(to) - view.x(from) > 70) this.#text(label, Math.max(4, view.x(from) + 4), WAVE_TOP + 12, colour);
  }

  #fitting(text, room) {
    const { context: c } = this;
    const width = c.measureText(text).width;
    return width <= room ? text : `${text.slice(0, Math.floor((text.length * room) / width) - 1)}…`;
  }

  #isVisible(from, to) {
    return to >= this.view.left && from <= this.view.right;
  }

  #line(x, top, bottom, colour, dash = [], width = 1) {
    const { context: c } = this;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(x, top);
    c.lineTo(x, bottom);
    c.stroke();
    c.setLineDash([]);
    c.lineWidth = 1;
  }

  #text(text, x, y, colour) {
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y);
  }
}

// From where to where a session has anything to show.
function extent(session) {
  const over = session.over_at ?? session.heard_at;
  const spans = [...session.sent, ...session.replayed];
  const starts = [session.asked_at.ms, ...spans.map(([from]) => from)];
  const ends = [over.ms, ...spans.map(([, to]) => to)];
  return [Math.min(...starts), Math.max(...ends)];
}

// As few lanes as there can be, where no two sessions lie on each other.
function laneOfEach(sessions) {
  const ends = [];
  return sessions.map((session) => {
    const [from, to] = extent(session);
    let lane = ends.findIndex((end) => end < from);
    if (lane < 0) lane = ends.length;
    ends[lane] = to;
    return lane;
  });
}

// From -1 to 1; quiet speech is to be seen as well.
function loud(value) {
  return Math.sign(value) * Math.sqrt(Math.abs(value) / 128);
}
