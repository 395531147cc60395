// The picture of a sound: one bar for each stretch of it.

import { peak } from "./sound.js";

const BAR = 4; // CSS pixels from bar to bar
const CURVE = 0.7; // below 1, quiet speech is seen, too
const LIVE_SECONDS = 10; // that fit while recording, before the oldest leave on the left

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.samples = null;
    this.live = null;
    // In a frame of its own: what is drawn while sizes are being told may change one, and browsers call that an error
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** A whole recording, or null for none. */
  show(samples) {
    this.samples = samples;
    this.live = null;
    this.draw();
  }

  /** One more block of a recording that goes on. */
  add(block, rate) {
    this.live ??= [];
    this.live.push(peak(block));
    this.blocksKept = Math.ceil((LIVE_SECONDS * rate) / block.length);
    if (this.live.length > this.blocksKept) this.live.shift();
    this.draw();
  }

  draw() {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, clientWidth * scale);
    this.canvas.height = Math.max(1, clientHeight * scale);
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = getComputedStyle(this.canvas).getPropertyValue("--wave").trim();
    const bars = Math.floor(clientWidth / BAR);
    for (let bar = 0; bar < bars; bar += 1) {
      const tall = Math.max(2, this.peakAt(bar / bars, (bar + 1) / bars) ** CURVE * clientHeight);
      pen.beginPath();
      pen.roundRect(bar * BAR + 1, (clientHeight - tall) / 2, BAR - 1.5, tall, 1.25);
      pen.fill();
    }
  }

  /** The loudest of a stretch, given as shares of what is shown. */
  peakAt(from, to) {
    const values = this.live ?? this.samples;
    if (!values?.length) return 0;
    const length = this.live ? this.blocksKept : values.length;
    const start = Math.floor(from * length);
    return peak(values, start, Math.min(values.length, Math.max(start + 1, Math.floor(to * length))));
  }
}
