// Which part of the call is seen: from `left`, in ms, at so many pixels a ms.

const CLOSEST = 0.6;
const MARGIN_MS = 300;

class View {
  constructor(first, last) {
    this.first = first - MARGIN_MS;
    this.last = last + MARGIN_MS;
    this.width = 1;
    this.left = this.first;
    this.scale = 0; // all of it
  }

  get right() {
    return this.left + this.width / this.scale;
  }

  get widest() {
    return this.width / (this.last - this.first);
  }

  x(ms) {
    return (ms - this.left) * this.scale;
  }

  ms(x) {
    return this.left + x / this.scale;
  }

  resize(width) {
    const wasWhole = this.scale <= this.widest * 1.0001;
    this.width = width;
    if (wasWhole) this.scale = this.widest;
    this.#keepInside();
  }

  // `x` stays where it is.
  zoom(times, x) {
    const fixed = this.ms(x);
    this.scale = Math.min(Math.max(CLOSEST, this.widest), Math.max(this.widest, this.scale * times));
    this.left = fixed - x / this.scale;
    this.#keepInside();
  }

  pan(pixels) {
    this.left += pixels / this.scale;
    this.#keepInside();
  }

  // Turn the page if `ms` is not on it.
  show(ms, part = 0.08) {
    if (ms >= this.left && ms <= this.right) return;
    this.left = ms - (this.width * part) / this.scale;
    this.#keepInside();
  }

  #keepInside() {
    this.scale = Math.max(this.scale, this.widest);
    this.left = Math.max(this.first, Math.min(this.left, this.last - this.width / this.scale));
  }
}
