// The websocket that tells this page what happens. It comes back by itself.

const LONGEST_WAIT_MS = 4000;

export class Link {
  #socket = null;
  #wait = 250;
  #asked = [];

  // `told` is called with each message, `state` with whether the link is up.
  constructor({ told, state }) {
    this.told = told;
    this.state = state;
    this.#open();
  }

  send(command) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(command));
      return true;
    }
    return false;
  }

  // A token for a session of one's own.
  token() {
    return new Promise((resolve, reject) => {
      if (!this.send({ do: "token" })) reject(new Error("The server is not there."));
      else this.#asked.push({ resolve, reject });
    });
  }

  #open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/console/live`);
    socket.binaryType = "arraybuffer";
    const decoder = new TextDecoder();
    socket.onopen = () => {
      this.#wait = 250;
      this.state(true);
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(decoder.decode(data));
      if (message.token) this.#asked.shift()?.resolve(message.token);
      else this.told(message);
    };
    socket.onclose = () => {
      this.#asked.splice(0).forEach(({ reject }) => reject(new Error("The server has gone.")));
      this.state(false);
      setTimeout(() => this.#open(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    };
    this.#socket = socket;
  }
}
