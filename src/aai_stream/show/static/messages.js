// Messages both ways, a page of them at a time: an hour has tens of thousands.

const AT_ONCE = 200;

class Messages {
  constructor(messages, sessions) {
    this.all = messages;
    this.first = 0;
    for (const { number } of sessions) $("of-session").append(new Option(String(number), String(number)));
    const again = () => this.#filter();
    for (const id of ["of-session", "of-way", "of-text"]) $(id).oninput = again;
    $("earlier").onclick = () => this.#turn(-AT_ONCE);
    $("later").onclick = () => this.#turn(AT_ONCE);
    $("messages").ontoggle = () => this.isOpen && this.#filter();
    $("messages-title").textContent = `Messages (${messages.length})`;
  }

  get isOpen() {
    return $("messages").open;
  }

  // Begin with the first that came at `ms` or later.
  from(ms) {
    const at = this.chosen.findIndex((message) => message.at.ms >= ms);
    this.first = at < 0 ? Math.max(0, this.chosen.length - 1) : at;
    this.#show();
  }

  #filter() {
    const [session, way, text] = ["of-session", "of-way", "of-text"].map((id) => $(id).value);
    const wanted = text.toLowerCase();
    this.chosen = this.all.filter((message) =>
      (!session || message.session === Number(session)) && (!way || message.way === way) &&
      (!wanted || message.text.toLowerCase().includes(wanted)));
    this.first = 0;
    this.#show();
  }

  #turn(by) {
    this.first = Math.max(0, Math.min(this.first + by, this.chosen.length - 1));
    this.#show();
  }

  #show() {
    const { first, chosen } = this;
    const shown = chosen.slice(first, first + AT_ONCE);
    $("lines").replaceChildren(...shown.map(messageLine));
    $("shown").textContent = shown.length ? `${first + 1} to ${first + shown.length} of ${chosen.length}` : "None";
    $("earlier").disabled = first === 0;
    $("later").disabled = first + AT_ONCE >= chosen.length;
  }
}

function messageLine({ at, session, way, kind, text }) {
  const row = document.createElement("li");
  const arrow = element("b", way === "in" ? "←" : "→", way);
  arrow.setAttribute("role", "img");
  arrow.setAttribute("aria-label", way === "in" ? "from the server" : "to the server");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(element("code", kind === "close" ? `close ${text}` : text));
  details.append(summary);
  details.addEventListener("toggle", () => details.append(element("pre", indented(text))), { once: true });
  row.append(element("small", `${stamp(at.ms)} · ${clock(at.unix)}`), element("small", `session ${session}`), arrow, details);
  return row;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}
