// Where the cursor is, and the audio there.

class Player {
  // `moved` is called when the cursor is elsewhere, `changed` when it plays or pauses.
  constructor({ endMs, moved, changed }) {
    Object.assign(this, { endMs, moved });
    this.ms = 0;
    this.audio = new Audio();
    const flac = $("audio").textContent;
    $("audio").remove(); // it is large, and is kept as a blob from here on
    this.hasAudio = flac !== "";
    if (this.hasAudio) this.audio.src = URL.createObjectURL(decoded(flac, "audio/flac"));
    this.audio.onplay = () => {
      changed();
      requestAnimationFrame(() => this.#follow());
    };
    this.audio.onpause = changed;
    this.audio.onseeked = () => this.isPlaying && this.#take();
  }

  get isPlaying() {
    return !this.audio.paused;
  }

  toggle() {
    if (this.isPlaying) return this.audio.pause();
    if (this.ms >= this.endMs || this.ms < 0) this.seek(0);
    return this.audio.play();
  }

  seek(ms) {
    this.ms = ms;
    if (this.hasAudio) this.audio.currentTime = Math.max(0, Math.min(ms, this.endMs)) / 1000;
    this.moved();
  }

  #take() {
    this.ms = 1000 * this.audio.currentTime;
    this.moved();
  }

  #follow() {
    if (!this.isPlaying) return;
    if (!this.audio.seeking) this.#take();
    requestAnimationFrame(() => this.#follow());
  }
}
