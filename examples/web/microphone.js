// A browser's microphone, for the pages of both examples.

const WHY = {
  NotAllowedError: "The microphone is blocked. Allow it in the browser's address bar, then press Start again.",
  NotFoundError: "There is no microphone. Plug one in, then press Start again.",
  NotReadableError: "Another program has the microphone. Close it, then press Start again.",
};

// Calls `heard` with an Int16Array for every 50 ms, and `gone` if the device goes away.
// Gives the samples per second, `sampleRate` if the browser is to resample, and a
// function that stops it. Throws an Error in plain words.
export async function openMicrophone({ heard, gone, sampleRate }) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give a microphone only to pages that come by https, or from this machine.");
  }
  // What helps people on the phone hurts recognition, except against our own echo.
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: false, autoGainControl: false };
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(WHY[error.name] ?? `The microphone can't be used: ${error.message}`);
  }
  const context = new AudioContext(sampleRate ? { sampleRate } : {});
  await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  const taker = new AudioWorkletNode(context, "taker", { numberOfOutputs: 0 });
  taker.port.onmessage = ({ data }) => heard(data);
  const [track] = media.getTracks();
  track.onended = gone;
  context.createMediaStreamSource(media).connect(taker);
  const stop = () => {
    taker.port.onmessage = null;
    track.stop();
    context.close();
  };
  return { rate: context.sampleRate, stop };
}
