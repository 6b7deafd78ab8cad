// A small v3 client. It comes back after an outage, and sends again what was not final.

export const RATE = 16000;
export const CHUNK = RATE / 20; // 50 ms
const MOST_KEPT = 1200; // chunks: a minute
const LONGEST_WAIT_MS = 5000;
const SILENT_MS = 12000; // heartbeats come every 5 s

export class Caller {
  #kept = []; // chunks that no final covers
  #first = 0; // the number of the first of them
  #sent = 0; // the next to send
  #base = 0; // the session's first
  #socket = null;
  #begun = false;
  #wait = 300;
  #ending = false;
  #watch = 0;

  // `token` gives one for a session; `over` is called at the end, with an error or null.
  constructor({ token, over }) {
    Object.assign(this, { token, over });
    this.#open();
  }

  push(chunk) {
    this.#kept.push(chunk);
    if (this.#kept.length > MOST_KEPT) this.#drop(this.#first + 1);
    this.#send();
  }

  // All has been pushed.
  end() {
    this.#ending = true;
    this.#send();
  }

  async #open() {
    let token;
    try {
      token = await this.token();
    } catch (error) {
      return this.#again(error);
    }
    const query = new URLSearchParams({ token, sample_rate: RATE, session_heartbeat: true });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v3/ws?${query}`);
    this.#socket = socket;
    this.#begun = false;
    this.#hears();
    socket.onmessage = ({ data }) => {
      this.#hears();
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return; // garbage, which is an outage to rehearse
      }
      if (message.type === "Begin") {
        this.#begun = true;
        this.#wait = 300;
        this.#base = this.#sent = this.#first;
        this.#send();
      } else if (message.type === "Turn" && message.end_of_turn === true && message.words?.length) {
        const end = message.words.at(-1).end;
        this.#drop(this.#base + Math.ceil((end * RATE) / 1000 / CHUNK));
      } else if (message.type === "Termination") this.#finish(null);
    };
    socket.onclose = () => this.#lost(socket);
  }

  #send() {
    if (!this.#begun || this.#socket.readyState !== WebSocket.OPEN) return;
    for (; this.#sent < this.#first + this.#kept.length; this.#sent++)
      this.#socket.send(this.#kept[this.#sent - this.#first]);
    if (this.#ending) this.#socket.send('{"type":"Terminate"}');
  }

  #drop(before) {
    const count = Math.min(Math.max(0, before - this.#first), this.#kept.length);
    this.#kept.splice(0, count);
    this.#first += count;
    this.#sent = Math.max(this.#sent, this.#first);
  }

  // A server that says nothing for long is as good as gone.
  #hears() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#watch = setTimeout(() => {
      socket.close();
      this.#lost(socket);
    }, SILENT_MS);
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#begun = false;
    clearTimeout(this.#watch);
    if (this.over) this.#again(null);
  }

  #again() {
    if (!this.over) return;
    setTimeout(() => this.over && this.#open(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  #finish(error) {
    clearTimeout(this.#watch);
    const over = this.over;
    this.over = null;
    over?.(error);
  }
}
