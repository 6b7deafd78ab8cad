// The panel from which things go wrong.

const find = (selector) => document.querySelector(selector);

export class Outages {
  #on = [];
  #told = 0; // when, by this page's clock
  #last = ""; // what happened last

  // `send` a command; `target` gives the chosen lane's open session and its name.
  constructor({ send, target }) {
    Object.assign(this, { send, target });
    for (const radio of document.querySelectorAll("[name=scope]")) radio.onchange = () => this.refresh();
    find("#stop").onclick = () => this.stop();
    find("#fault-form").onsubmit = (event) => {
      event.preventDefault();
      const text = find("#fault").value.trim();
      if (text) this.start(text);
    };
    setInterval(() => this.#count(), 200);
  }

  get scope() {
    return find("[name=scope]:checked").value;
  }

  set scope(value) {
    find(`[name=scope][value=${value}]`).checked = true;
    this.refresh();
  }

  presets(presets) {
    find("#presets").replaceChildren(...presets.map((preset, i) => {
      const button = document.createElement("button");
      const key = document.createElement("kbd");
      key.textContent = i + 1;
      key.setAttribute("aria-hidden", "true");
      button.append(preset.name, key);
      button.dataset.live = preset.live;
      button.dataset.does = preset.does;
      button.onclick = () => this.start(preset.text);
      return button;
    }));
    this.refresh();
  }

  press(number) {
    find("#presets").children[number - 1]?.click();
  }

  start(text) {
    find("#fault-error").textContent = "";
    const seconds = find("#seconds").value;
    this.send({
      do: "start", text, scope: this.scope, session: this.target()?.session ?? null,
      seconds: seconds ? Number(seconds) : null,
    });
  }

  stop() {
    this.send({ do: "stop" });
  }

  failed(why) {
    find("#fault-error").textContent = why;
  }

  // Another lane is chosen, or the scope has changed.
  refresh() {
    const { scope } = this;
    const target = this.target();
    find("#lasting").hidden = scope !== "all";
    const whom = {
      session: target ? `Strikes ${target.name}` : "No open session is chosen",
      open: "Strikes every open session, once",
      next: "Strikes the next connection only",
      all: "Strikes open sessions, and those that connect meanwhile",
    };
    if (find("#target").textContent !== whom[scope]) find("#target").textContent = whom[scope];
    for (const button of find("#presets").children) {
      const late = button.dataset.live === "false" && (scope === "session" || scope === "open");
      button.disabled = late || (scope === "session" && !target);
      button.title = late ? `${button.dataset.does}: for the next connection, or all` : button.dataset.does;
    }
  }

  told({ on, applied }) {
    this.#on = on;
    this.#told = performance.now();
    find("#on").replaceChildren(...on.map((fault) => item(fault.text, "")));
    const last = applied.at(-1);
    const happened = last ? `${last.text} on connection ${last.session}` : "";
    if (happened !== this.#last) find("#said").textContent = this.#last = happened;
    find("#applied").replaceChildren(...grouped(applied).map(({ text, session, ms, times }) => {
      const when = ms ? `, ${(ms / 1000).toFixed(1)} s` : "";
      return item(text, times > 1 ? `${times}×, last on ${session}` : `connection ${session}${when}`);
    }));
    this.#count();
  }

  #count() {
    const passed = (performance.now() - this.#told) / 1000;
    this.#on.forEach(({ left, times }, i) => {
      const line = find("#on").children[i];
      if (!line) return;
      const rest = left === null ? null : Math.max(0, left - passed);
      line.hidden = rest === 0;
      const struck = times ? `${times}×` : "armed";
      const text = rest === null ? struck : `${Math.ceil(rest)} s left, ${struck}`;
      if (line.children[1].textContent !== text) line.children[1].textContent = text;
    });
  }
}

// The newest first; what happened many times in a row is told once.
function grouped(applied) {
  const groups = [];
  for (const one of applied.toReversed()) {
    const last = groups.at(-1);
    if (last?.text === one.text) last.times++;
    else groups.push({ ...one, times: 1 });
  }
  return groups;
}

function item(text, more) {
  const line = document.createElement("li");
  line.append(document.createElement("code"), document.createElement("span"));
  for (const [i, part] of text.split(/(?<=,)/).entries()) {
    if (i) line.children[0].append(document.createElement("wbr"));
    line.children[0].append(part);
  }
  line.children[1].textContent = more;
  return line;
}
