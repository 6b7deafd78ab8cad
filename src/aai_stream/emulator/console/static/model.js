// What the server has told: sessions, and the lanes that they make up. No DOM here.

export const BUCKET_MS = 50;
const WAITING_S = 60; // a lane without a session may yet get another one
const MOST_BUCKETS = 12000;

class Session {
  constructor(n) {
    Object.assign(this, { n, lane: n, offset: 0, id: "", options: {}, rate: 16000 });
    Object.assign(this, { began: 0, end: null, how: "", ms: 0, lead: null, first: 0, wave: [] });
    this.turns = new Map();
    this.marks = [];
  }

  get endMs() {
    return this.offset + this.ms;
  }

  update({ ms, lead, facts, wave, turns, marks }) {
    this.ms = ms;
    this.lead = lead ?? null;
    Object.assign(this, facts);
    if (wave) {
      const [first, values] = wave;
      if (first !== this.first + this.wave.length / 2) {
        this.wave = [];
        this.first = first;
      }
      for (const value of values) this.wave.push(value);
      if (this.wave.length > 2.2 * MOST_BUCKETS) {
        const excess = this.wave.length - 2 * MOST_BUCKETS;
        this.wave.splice(0, excess);
        this.first += excess / 2;
      }
    }
    for (const turn of turns ?? []) this.turns.set(turn.order, turn);
    if (marks) this.marks.push(...marks);
    if (this.marks.length > 400) this.marks.splice(0, this.marks.length - 200);
  }
}

export function textOf(turn) {
  return turn.words.length === turn.all ? turn.text : turn.words.map((w) => w[2]).join(" ");
}

export class Lane {
  constructor(number) {
    this.number = number;
    this.sessions = [];
  }

  get last() {
    return this.sessions.at(-1);
  }

  get isOpen() {
    return this.last.end === null;
  }

  get began() {
    return this.sessions[0].began;
  }

  get endMs() {
    return Math.max(...this.sessions.map((s) => s.endMs));
  }

  // The session that a fault would strike.
  get open() {
    return this.sessions.findLast((s) => s.end === null);
  }

  get wasLost() {
    return !this.isOpen && this.last.how !== "closed 1000";
  }

  isWaiting(now) {
    return this.wasLost && now - this.last.end < WAITING_S;
  }

  // How much audio there would be if it came as timely as it came at best, in ms.
  dueMs(now) {
    const leads = this.sessions
      .filter((s) => s.lead !== null)
      .map((s) => s.offset + s.lead - (s.began - this.began) * 1000);
    return leads.length ? (now - this.began) * 1000 + Math.max(...leads) : 0;
  }

  behind(now) {
    return Math.max(0, this.dueMs(now) - this.endMs);
  }

  get finals() {
    return this.sessions.flatMap((session) =>
      [...session.turns.values()]
        .filter((turn) => turn.final && textOf(turn))
        .map((turn) => ({ session, turn })),
    );
  }

  get partial() {
    const open = this.open;
    const turn = open && [...open.turns.values()].at(-1);
    return turn && !turn.final ? turn : null;
  }
}

export class Model {
  #at = 0; // when `#now` was told, by this page's clock
  #now = 0;

  constructor() {
    this.clear();
  }

  clear() {
    this.sessions = new Map();
    this.lanes = new Map();
  }

  // The server's clock, in seconds.
  get now() {
    return this.#now + (performance.now() - this.#at) / 1000;
  }

  // Takes a message; gives the numbers of the lanes that have changed.
  update(message) {
    const changed = new Set();
    if (message.now !== undefined) {
      this.#now = message.now;
      this.#at = performance.now();
    }
    let regroup = false;
    for (const told of message.sessions ?? []) {
      let session = this.sessions.get(told.n);
      if (!session) this.sessions.set(told.n, (session = new Session(told.n)));
      session.update(told);
      regroup ||= told.facts !== undefined;
      changed.add(session.lane);
    }
    for (const n of message.gone ?? []) {
      this.sessions.delete(n);
      regroup = true;
    }
    if (regroup) this.#regroup();
    return changed;
  }

  #regroup() {
    for (const lane of this.lanes.values()) lane.sessions = [];
    // Who was refused instead of Begin has no lane.
    const shown = [...this.sessions.values()].filter((s) => s.id || s.ms);
    for (const session of shown.sort((a, b) => a.n - b.n)) {
      let lane = this.lanes.get(session.lane);
      if (!lane) this.lanes.set(session.lane, (lane = new Lane(session.lane)));
      lane.sessions.push(session);
    }
    for (const lane of [...this.lanes.values()])
      if (!lane.sessions.length) this.lanes.delete(lane.number);
  }
}
