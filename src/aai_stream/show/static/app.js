// The page: puts the parts together, and takes clicks and keys.

const ZOOM = 1.6;
const STEP_MS = 1000;

async function main() {
  const data = await readData();
  const { call } = data;
  const last = Math.max(call.audio_ms, ...ends(call));
  const view = new View(Math.min(0, ...call.sessions.map((s) => s.asked_at.ms)), last);
  const canvas = $("timeline");
  const drawing = new Drawing(canvas, data, view);
  const pace = drawing.pace;
  let due = false;
  const redraw = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      drawing.draw(player.ms);
    });
  };
  const moved = () => {
    view.show(player.ms);
    const text = `${stamp(player.ms)} · ${clock(pace.unix(player.ms))}`;
    $("where").textContent = text;
    canvas.setAttribute("aria-valuenow", Math.round(player.ms));
    canvas.setAttribute("aria-valuetext", text);
    markTurn(player.ms);
    redraw();
  };
  const changed = () => ($("play").textContent = player.isPlaying ? "Pause" : "Play");
  const player = new Player({ endMs: call.audio_ms, moved, changed });
  const seek = (ms) => player.seek(Math.max(view.first, Math.min(ms, view.last)));
  const zoom = (times, x = view.x(player.ms)) => {
    view.zoom(times, x >= 0 && x <= view.width ? x : view.width / 2);
    redraw();
  };
  const whole = () => zoom(0);
  const jump = (way) => {
    const happened = call.moments.map(({ at }) => at.ms).sort((a, b) => a - b);
    const next = way > 0 ? happened.find((ms) => ms > player.ms + 1) : happened.findLast((ms) => ms < player.ms - 1);
    if (next !== undefined) seek(next);
  };
  const messages = new Messages(call.messages, call.sessions);
  showFacts(data);
  showSettings(data);
  showTurns(call.turns, seek);
  showMoments(call.moments, seek);
  showSessions(call.sessions);
  showLatencies(data.latencies, call.latencies);

  $("play").disabled = !player.hasAudio;
  const actions = {
    "play": () => player.toggle(), "closer": () => zoom(ZOOM), "wider": () => zoom(1 / ZOOM), "whole": whole,
    "next": () => jump(1), "previous": () => jump(-1),
    "at-cursor": () => messages.from(player.ms), "help-open": () => $("help").showModal(),
  };
  for (const [id, act] of Object.entries(actions)) $(id).onclick = act;
  canvas.setAttribute("aria-valuemin", Math.round(view.first));
  canvas.setAttribute("aria-valuemax", Math.round(view.last));
  takeKeys(canvas, { player, seek, view, actions });
  takePointer(canvas, { view, seek, zoom, redraw });
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawing.readColours();
    redraw();
  });
  moved();
  document.documentElement.dataset.ready = "yes";
}

function ends(call) {
  return [...call.sessions.map((s) => (s.over_at ?? s.heard_at).ms), ...call.moments.slice(-1).map(({ at }) => at.ms)];
}

function takeKeys(canvas, { player, seek, view, actions }) {
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 * STEP_MS : STEP_MS;
    if (event.key === "ArrowLeft" || event.key === "ArrowDown") seek(player.ms - step);
    else if (event.key === "ArrowRight" || event.key === "ArrowUp") seek(player.ms + step);
    else if (event.key === "Home") seek(Math.max(0, view.first));
    else if (event.key === "End") seek(view.last);
    else return;
    event.preventDefault();
  });
  const keys = {
    " ": "play", "+": "closer", "=": "closer", "-": "wider", "0": "whole",
    "n": "next", "p": "previous", "?": "help-open",
  };
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (target.matches("input, select")) return;
    if (event.key === " " && target.matches("button, summary")) return; // it presses them
    if (event.key === "m") $("messages").open = !$("messages").open;
    else if (keys[event.key] && !$(keys[event.key]).disabled) actions[keys[event.key]]();
    else return;
    event.preventDefault();
  });
}

// A click seeks; to drag moves what is seen; the wheel zooms, sideways it moves.
function takePointer(canvas, { view, seek, zoom, redraw }) {
  let start = null;
  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    start = { x: event.offsetX, hasMoved: false };
  };
  canvas.onpointermove = (event) => {
    if (!start) return;
    start.hasMoved ||= Math.abs(event.offsetX - start.x) > 4;
    if (!start.hasMoved) return;
    view.pan(-event.movementX);
    redraw();
  };
  canvas.onpointerup = (event) => {
    if (start && !start.hasMoved) seek(view.ms(event.offsetX));
    start = null;
  };
  canvas.onpointercancel = () => { start = null; };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (isSideways) {
      view.pan(event.deltaX || event.deltaY);
      redraw();
    } else zoom(Math.exp(-event.deltaY / 300), event.offsetX);
  }, { passive: false });
}

main().catch((error) => {
  $("trouble").textContent = `This page can't be shown: ${error.message}`;
  $("trouble").hidden = false;
  throw error;
});
