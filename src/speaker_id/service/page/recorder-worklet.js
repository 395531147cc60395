// Runs in the audio thread: hands its samples to the page in blocks of about 20 ms.
const BLOCK = 1024;

class Samples extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process(inputs) {
    const channel = inputs[0][0]; // absent while nothing is connected
    if (!channel) return true;
    this.block.set(channel, this.filled);
    this.filled += channel.length; // 128, a divisor of BLOCK
    if (this.filled === BLOCK) {
      this.port.postMessage(this.block);
      this.block = new Float32Array(BLOCK);
      this.filled = 0;
    }
    return true;
  }
}
registerProcessor("samples", Samples);
