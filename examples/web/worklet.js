// Hands the microphone's sound over, 50 ms at a time, as PCM16.

class Taker extends AudioWorkletProcessor {
  #chunk = new Int16Array(sampleRate / 20);
  #filled = 0;

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.#chunk[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.#filled === this.#chunk.length) {
        this.port.postMessage(this.#chunk.slice());
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("taker", Taker);
