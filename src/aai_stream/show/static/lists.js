// What is to be read beside the timeline.

function showFacts(data) {
  const { call } = data;
  $("file").textContent = data.file;
  $("how").textContent = call.how;
  $("how").classList.toggle("bad", call.how === "failed" || call.how === "cut off" || call.how === "full");
  const lost = call.sessions.filter(isLost).length;
  const without = call.outages.reduce((sum, { start, end }) => sum + end.unix - start.unix, 0);
  const lostMs = call.gaps.reduce((sum, gap) => sum + (gap.is_lost ? gap.end_ms - gap.start_ms : 0), 0);
  const facts = [
    ["Began", `${new Date(1000 * call.began).toLocaleDateString("en-CA")} ${clock(call.began, 0)}`],
    ["Lasted", stamp(1000 * (call.ended - call.began), 0)],
    ["Audio", stamp(call.audio_ms, 1)],
    ["Stream", call.stream],
    ["Server", call.host],
    ["Model", [...new Set(call.sessions.map((s) => s.model).filter(Boolean))].join(", ") || "–"],
    ["Sessions", `${call.sessions.length}${lost ? `, ${lost} lost` : ""}`, lost],
    ["Without a session", seconds(without), without],
    ["Turns", String(call.turns.filter((turn) => turn.is_final).length)],
    ["Audio lost", seconds(lostMs / 1000), lostMs],
  ];
  $("facts").append(...facts.map(pairOf));
}

// What the stream was asked for, and each session's handshake.
function showSettings({ settings, call }) {
  const asked = Object.entries(settings).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  for (const { number, query } of call.sessions) {
    asked.push([`session ${number}`, new URLSearchParams(query).toString() || "–"]);
  }
  $("asked").append(...asked.map(pairOf));
}

function pairOf([name, value, isBad]) {
  const pair = document.createElement("div");
  pair.append(element("dt", name), element("dd", value, isBad ? "bad" : ""));
  return pair;
}

function seekButton(ms, seek, what) {
  const button = element("button", stamp(ms));
  button.setAttribute("aria-label", `${stamp(ms)}: go there, ${what}`);
  button.onclick = () => seek(ms);
  return button;
}

function showTurns(turns, seek) {
  for (const turn of turns) {
    const row = document.createElement("li");
    const last = turn.told.at(-1);
    const body = document.createElement("div");
    if (turn.speaker) body.append(element("b", `${turn.speaker}: `));
    body.append(element("span", last.text, turn.is_final ? "" : "partial"));
    const late = turn.latency === null ? "" : `${seconds(turn.latency)} after its end`;
    body.append(" ", element("small", turn.is_final ? late : "never final"));
    if (turn.told.length > 1) body.append(tellings(turn));
    const ms = turn.words[0]?.start ?? last.at.ms;
    row.append(seekButton(ms, seek, "where the turn begins"), body);
    row.dataset.from = ms;
    row.dataset.to = turn.words.at(-1)?.end ?? ms;
    $("turns").append(row);
  }
  if (!turns.length) $("turns").append(element("li", "Nothing", "soft"));
}

// How a turn was told before, once somebody asks.
function tellings(turn) {
  const details = document.createElement("details");
  const before = turn.told.slice(0, -1);
  details.append(element("summary", `${before.length} earlier`));
  details.addEventListener("toggle", () => {
    const list = document.createElement("ol");
    for (const { at, text } of before) {
      const line = element("li");
      line.append(element("small", stamp(at.ms)), element("span", text, "partial"));
      list.append(line);
    }
    details.append(list);
  }, { once: true });
  return details;
}

function showMoments(moments, seek) {
  for (const { at, kind, text } of moments) {
    const row = document.createElement("li");
    row.append(seekButton(at.ms, seek, "when it happened"));
    const body = element("div", text, kind);
    body.append(" ", element("small", clock(at.unix)));
    row.append(body);
    $("moments").append(row);
  }
}

function fillTable(table, heads, rows) {
  const head = table.createTHead().insertRow();
  for (const [name, kind] of heads) {
    const cell = element("th", name, kind);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const values of rows) {
    const row = body.insertRow();
    values.forEach((value, i) => {
      const cell = element(i ? "td" : "th", value, heads[i][1]);
      if (!i) cell.scope = "row";
      row.append(cell);
    });
  }
}

// What became of a session, and why.
function howItEnded({ outcome, why }) {
  return [outcome.replace("_", " ") || "cut off", why].filter(Boolean).join(": ");
}

function showSessions(sessions) {
  const heads = [["session", ""], ["asked for", ""], ["websocket", "number"], ["Begin", "number"], ["hears from", "number"], ["sent again", "number"], ["over", "number"], ["how", "long"], ["name", ""]];
  const after = (at, asked) => (at ? seconds(at.unix - asked.unix) : "–");
  fillTable($("sessions"), heads, sessions.map((s) => [
    String(s.number),
    clock(s.asked_at.unix),
    after(s.connected_at, s.asked_at),
    after(s.began_at, s.asked_at),
    s.resumed_ms === null ? "–" : stamp(s.resumed_ms) + (s.after ? `, after ${s.after}` : ""),
    seconds(s.replayed.reduce((sum, [from, to]) => sum + to - from, 0) / 1000),
    s.over_at ? stamp(s.over_at.ms) : "–",
    `${howItEnded(s)}${s.code ? ` (${s.code})` : ""}`,
    s.id || "–",
  ]));
}

function showLatencies(latencies, { behind, behind_at: at }) {
  const heads = [["", ""], ["count", "number"], ["median", "number"], ["p95", "number"], ["most", "number"]];
  fillTable($("latencies"), heads, latencies.filter(([, spread]) => spread).map(([name, spread]) => [
    name, String(spread.count), seconds(spread.median), seconds(spread.p95), seconds(spread.most),
  ]));
  $("behind").textContent = at ? `At most ${seconds(behind)} of audio waited to be sent, at ${stamp(at.ms)}.` : "";
}

// The turn that is heard at `ms`.
function markTurn(ms) {
  for (const row of $("turns").children) {
    row.classList.toggle("here", ms >= row.dataset.from && ms <= row.dataset.to);
  }
}
