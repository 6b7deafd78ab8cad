// A call to the server that survives a lost connection.

const KEPT_SECONDS = 120; // of audio that the server hasn't taken yet
const MOST_BUFFERED = 256 * 1024; // bytes that the browser may hold for the network
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

export class Call {
  #name = crypto.randomUUID();
  #kept = []; // chunks that the server hasn't taken, in order
  #sent = 0; // how many of them are on their way
  #taken = 0; // samples that the server has, before the first of #kept
  #socket = null;
  #ready = false; // the server has said where it is
  #ending = false; // there is no more audio
  #ended = false; // the server was told so
  #over = false;
  #wait = FIRST_WAIT_MS;

  // `rate` of what is pushed; `told` gets the server's messages, `linked` whether there
  // is a connection, `begun` is called when the server begins anew: its turns are then
  // numbered from 0; `dropped` when audio had to be thrown away.
  constructor(rate, { told, linked, begun, dropped }) {
    Object.assign(this, { rate, told, linked, begun, dropped });
    this.#connect();
  }

  push(chunk) {
    this.#kept.push(chunk);
    if (this.#kept.length * chunk.length > KEPT_SECONDS * this.rate) {
      this.#kept.splice(this.#sent, 1);
      this.dropped();
    }
    this.#send();
  }

  // No more audio: the server says what is left, then that it is over.
  end() {
    this.#ending = true;
    this.#send();
  }

  #connect() {
    const url = new URL("listen", location);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    this.#ready = false;
    socket.onopen = () => socket.send(JSON.stringify({ call: this.#name, rate: this.rate }));
    socket.onmessage = ({ data }) => this.#tell(JSON.parse(data));
    socket.onclose = () => {
      this.#ready = false;
      if (this.#over) return;
      this.linked(false);
      setTimeout(() => this.#connect(), this.#wait * (0.5 + Math.random() / 2));
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    };
  }

  #tell(message) {
    if (!this.#ready && message.samples < this.#taken) {
      this.#taken = message.samples;
      this.begun();
    }
    while (this.#kept.length && this.#taken + this.#kept[0].length <= message.samples) {
      this.#taken += this.#kept.shift().length;
      this.#sent -= 1;
    }
    if (!this.#ready) {
      this.#ready = true;
      this.#sent = 0; // what is kept never arrived
      this.#ended = false;
      this.#wait = FIRST_WAIT_MS;
      this.linked(true);
    }
    this.#over = message.over;
    this.told(message);
    this.#send();
  }

  // As much as the network takes. What comes next calls it again: 50 ms of audio, or
  // the server's word on what it has taken.
  #send() {
    if (!this.#ready || this.#over || this.#socket.readyState !== WebSocket.OPEN) return;
    while (this.#sent < this.#kept.length && this.#socket.bufferedAmount < MOST_BUFFERED) {
      this.#socket.send(this.#kept[this.#sent++]);
    }
    if (this.#ending && !this.#ended && this.#sent === this.#kept.length) {
      this.#socket.send("end");
      this.#ended = true;
    }
  }
}
