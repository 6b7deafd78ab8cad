import { openMicrophone } from "/web/microphone.js";
import { hangUp, over, problem, show, status, talk } from "/web/transcript.js";

const RATE = 16000;

talk(async () => {
  let begun = false;
  let socket;
  const waiting = []; // what is heard before the session has begun
  const isOpen = () => begun && socket.readyState === WebSocket.OPEN;
  const microphone = await openMicrophone({
    heard: (chunk) => (isOpen() ? socket.send(chunk) : waiting.push(chunk)),
    gone: hangUp,
    sampleRate: RATE, // the browser resamples
  });
  try {
    socket = new WebSocket(await sessionUrl()); // a new token for each
  } catch (error) {
    microphone.stop();
    throw error;
  }
  let outcome = "The connection is lost, and what was not final yet. Press Start to go on.";

  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "Begin") {
      begun = true;
      waiting.forEach((chunk) => socket.send(chunk));
      status("Listening.");
    } else if (message.type === "Turn") {
      show(message.turn_order, message.transcript, message.end_of_turn);
    } else if (message.type === "Error") {
      outcome = `Speech recognition has ended: ${message.error}`;
    } else if (message.type === "Termination") {
      outcome = "";
    }
  };
  socket.onclose = () => {
    over();
    problem(outcome);
  };
  return () => {
    microphone.stop();
    // Or else the session would go on, and be billed.
    if (isOpen()) socket.send(JSON.stringify({ type: "Terminate" }));
    else socket.close();
  };
});

async function sessionUrl() {
  const answer = await fetch(`/session?sample_rate=${RATE}`, { method: "POST" });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return told.url;
}
