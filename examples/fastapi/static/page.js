import { openMicrophone } from "/web/microphone.js";
import { hangUp, over, problem, renew, show, status, talk } from "/web/transcript.js";
import { Call } from "./call.js";

talk(async () => {
  let call;
  const waiting = []; // what is heard before there is a call
  const microphone = await openMicrophone({
    heard: (chunk) => (call ? call.push(chunk) : waiting.push(chunk)),
    gone: hangUp,
  });
  call = new Call(microphone.rate, {
    told,
    linked: (on) => status(on ? "Listening." : "The connection is lost. Go on: what you say is kept."),
    begun: renew,
    dropped: () => problem("The connection was lost for too long: some of what you said is gone."),
  });
  waiting.forEach((chunk) => call.push(chunk));
  return () => {
    microphone.stop();
    call.end();
  };
});

function told(message) {
  for (const { order, text, final } of message.turns) show(order, text, final);
  if (message.lost_ms) problem(`${(message.lost_ms / 1000).toFixed(1)} s of what you said were not understood.`);
  if (message.problem) problem(message.problem);
  if (message.over) over();
}
