// Streams a microphone or a file to this very server.

import { CHUNK, Caller, RATE } from "./caller.js";

export class Microphone {
  // `token` as for Caller; `changed` is called with whether it is on.
  constructor({ token, changed }) {
    Object.assign(this, { token, changed, stop: null });
  }

  async toggle() {
    if (this.stop) return this.stop();
    if (!navigator.mediaDevices) throw new Error("Browsers give a microphone to pages of this machine only, or by https.");
    let stopped = false;
    this.stop = () => {
      stopped = true;
    };
    this.changed(true);
    try {
      const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
      const context = new AudioContext({ sampleRate: RATE });
      await context.audioWorklet.addModule("/console/worklet.js");
      const taker = new AudioWorkletNode(context, "taker", { numberOfOutputs: 0 });
      const caller = new Caller({ token: this.token, over: () => {} });
      taker.port.onmessage = ({ data }) => caller.push(data);
      context.createMediaStreamSource(media).connect(taker);
      this.stop = () => {
        this.stop = null;
        taker.port.onmessage = null;
        media.getTracks().forEach((track) => track.stop());
        context.close();
        caller.end();
        this.changed(false);
      };
      if (stopped) this.stop();
    } catch (error) {
      this.stop = null;
      this.changed(false);
      throw new Error(`The microphone can't be used: ${error.message}`);
    }
  }
}

// Streams an audio file in real time.
export async function streamFile(file, token) {
  let sound;
  try {
    const data = await file.arrayBuffer();
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(data);
  } catch {
    throw new Error(`${file.name} is no audio that this browser can read.`);
  }
  const pcm = toPcm16(sound);
  const caller = new Caller({ token, over: () => {} });
  const began = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 1000) * RATE;
    for (; sent < pcm.length && sent <= due; sent += CHUNK) caller.push(padded(pcm.subarray(sent, sent + CHUNK)));
    if (sent >= pcm.length) {
      clearInterval(timer);
      caller.end();
    }
  }, 50);
}

function toPcm16(sound) {
  const pcm = new Int16Array(sound.length);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  for (let i = 0; i < pcm.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    pcm[i] = Math.max(-1, Math.min(1, sum / channels.length)) * 32767;
  }
  return pcm;
}

function padded(chunk) {
  if (chunk.length === CHUNK) return chunk;
  const whole = new Int16Array(CHUNK);
  whole.set(chunk);
  return whole;
}
