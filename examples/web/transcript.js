// What both pages show: a button, what is said, and what went wrong.

const $ = (id) => document.getElementById(id);
let stop = null; // what the button does while somebody talks
let lines = new Map(); // by the number of their turn

// `start` begins to listen and gives a function that ends it, after which `over` is to
// be called; what it throws is shown.
export function talk(start) {
  $("talk").onclick = async () => {
    $("talk").disabled = true;
    if (stop) {
      status("Waiting for the last words.");
      return end();
    }
    problem("");
    renew();
    try {
      stop = await start();
      $("talk").textContent = "Stop";
    } catch (error) {
      problem(error.message);
    }
    $("talk").disabled = false;
  };
}

// As if the button had been pressed: the microphone is gone.
export function hangUp() {
  if (stop) $("talk").click();
}

// Nothing more will be heard.
export function over() {
  end();
  $("saying").textContent = "";
  $("talk").textContent = "Start";
  $("talk").disabled = false;
  status("Press Start, and speak.");
}

function end() {
  stop?.();
  stop = null;
}

// A turn as understood so far; it stays where it is.
export function show(order, text, final) {
  if (!final) {
    $("saying").textContent = text;
    return;
  }
  if (!lines.has(order)) {
    lines.set(order, $("said").appendChild(document.createElement("p")));
    $("saying").textContent = "";
  }
  lines.get(order).textContent = text;
}

// Turns are numbered from 0 again.
export function renew() {
  lines = new Map();
}

export function status(text) {
  $("status").textContent = text;
}

export function problem(text) {
  $("problem").textContent = text;
}
