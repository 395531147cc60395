// Samples and files: the microphone, WAV bytes, and what there is to say of a sound before it is sent.

/**
 * Start the microphone. `onBlock(samples, rate)` gets Float32Array blocks, at the rate of the machine: not every
 * browser converts a microphone to another one, and the service converts better. Returns an async function that stops.
 */
export async function listen(onBlock) {
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = new AudioContext();
  const stop = async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  };
  try {
    await context.audioWorklet.addModule("static/recorder-worklet.js");
    const node = new AudioWorkletNode(context, "samples", { numberOfOutputs: 0, channelCount: 1,
      channelCountMode: "explicit" });
    node.port.onmessage = (event) => onBlock(event.data, context.sampleRate);
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/** The same samples in one array. */
export function joined(blocks) {
  const all = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}

/** 16-bit mono WAV of samples in [-1, 1]. */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of this chunk
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes of a second
  view.setUint16(32, 2, true); // bytes of a sample
  view.setUint16(34, 16, true); // bits of a sample
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true));
  return new Blob([view], { type: "audio/wav" });
}

const PICTURE_RATE = 16000;

/** { samples, rate } of a file, to look at it; null where the browser cannot read what the service perhaps can. */
export async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, PICTURE_RATE);
  try {
    return { samples: (await context.decodeAudioData(await file.arrayBuffer())).getChannelData(0), rate: PICTURE_RATE };
  } catch {
    return null;
  }
}

/** The largest sample of a stretch, 0 to 1. */
export function peak(samples, from = 0, to = samples.length) {
  let most = 0;
  for (let i = from; i < to; i += 1) most = Math.max(most, Math.abs(samples[i]));
  return most;
}

/** Loudness of a block, 0 to 1 for -60 dB to full scale: what a meter shows. */
export function level(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / Math.max(1, samples.length);
  return Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-12) / 6));
}

/** The word for what a recording lacks, or null. The service judges for itself. */
export function weakness(samples, rate) {
  if (peak(samples) < 0.02) return "quiet"; // -34 dB
  if (samples.length < 3 * rate) return "short";
  const cut = samples.reduce((count, sample) => count + (Math.abs(sample) > 0.999), 0);
  return cut > 0.001 * samples.length ? "clipped" : null;
}
