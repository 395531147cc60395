// One recording: from the microphone, a chosen file or a dropped one, with a meter and a picture.

import { element } from "./answers.js";
import { decoded, joined, level, listen, wav, weakness } from "./sound.js";
import { Waveform } from "./waveform.js";
import { say } from "./words.js";

const MAX_SECONDS = 30;
const REFUSALS = { NotAllowedError: "microphoneDenied", NotFoundError: "microphoneMissing" };

export class Recorder {
  static active = null; // the one that records, or waits for the microphone: there is one

  /** Fills `box`; `file` is what there is to send, or null; `onChange()` hears that it is another one. */
  constructor(box, onChange) {
    this.box = box;
    this.onChange = onChange;
    this.file = null;
    this.stopListening = null;
    this.note = ["empty", {}];
    this.build();
    this.speak();
  }

  get isRecording() {
    return this.stopListening !== null;
  }

  /** What is being judged by the service is not exchanged meanwhile. */
  get isBusy() {
    return this.box.closest("[aria-busy=true]") !== null;
  }

  build() {
    this.title = element("h2", { id: `title-${this.box.id}` });
    this.clock = element("span", { className: "clock", hidden: true });
    this.clock.setAttribute("role", "timer"); // read on demand: nobody wants every second told
    this.canvas = element("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.meter = element("meter", { min: 0, max: 1, low: 0.4, high: 0.97, optimum: 0.7, value: 0, hidden: true });
    this.record = element("button", { type: "button", className: "record" });
    this.choose = element("button", { type: "button", className: "choose" });
    this.clear = element("button", { type: "button", className: "clear", hidden: true });
    this.input = element("input", { type: "file", accept: "audio/*,video/*,.flac,.opus,.m4a,.amr,.wma,.mkv", hidden: true });
    this.state = element("p", { className: "state" });
    this.state.setAttribute("role", "status");
    this.player = element("audio", { controls: true, preload: "none", hidden: true });
    this.waveform = new Waveform(this.canvas);
    const head = element("div", { className: "head" }, this.title, this.clock, this.clear);
    const buttons = element("div", { className: "buttons" }, this.record, this.choose, this.input);
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-labelledby", this.title.id);
    this.box.append(head, this.canvas, this.meter, buttons, this.state, this.player);
    this.hear();
  }

  hear() {
    this.record.onclick = () => (this.isRecording ? this.stop() : this.start());
    this.choose.onclick = () => this.input.click();
    this.input.onchange = () => this.take(this.input.files[0]);
    this.clear.onclick = () => {
      if (this.isBusy) return;
      this.reset();
      this.record.focus();
    };
    this.box.ondragover = (event) => {
      event.preventDefault();
      this.box.classList.add("over");
    };
    this.box.ondragleave = () => this.box.classList.remove("over");
    this.box.ondrop = (event) => {
      event.preventDefault();
      this.box.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    };
  }

  /** Say everything again, in the language of now. */
  speak() {
    this.title.textContent = say(this.box.dataset.title);
    this.record.textContent = say(this.isRecording ? "stop" : "record");
    this.choose.textContent = say("choose");
    this.clear.textContent = say("again");
    this.clock.setAttribute("aria-label", say("elapsed"));
    this.meter.setAttribute("aria-label", say("level"));
    this.player.setAttribute("aria-label", say("playback"));
    this.state.textContent = say(...this.note);
  }

  tell(key, places = {}, kind = "") {
    this.note = [key, places];
    this.state.textContent = say(key, places);
    this.state.className = `state ${kind}`;
  }

  async start() {
    if (this.isBusy) return;
    Recorder.active?.stop();
    this.reset();
    if (!navigator.mediaDevices) return this.tell("microphoneUnsafe", {}, "weak");
    Recorder.active = this;
    this.record.disabled = this.choose.disabled = true;
    this.blocks = [];
    this.length = 0;
    try {
      const stopListening = await listen((block, rate) => this.heard(block, rate));
      if (Recorder.active === this) {
        this.stopListening = stopListening;
        this.tell("recordingNow");
      } else {
        await stopListening(); // somebody left while the browser asked whether it may
      }
    } catch (error) {
      if (Recorder.active === this) Recorder.active = null;
      this.tell(REFUSALS[error.name] ?? "microphoneFailed", { reason: error.name }, "weak");
    }
    this.record.disabled = false;
    this.look();
  }

  heard(block, rate) {
    if (!this.isRecording) return; // what was on its way when it stopped
    this.blocks.push(block);
    this.length += block.length;
    this.rate = rate;
    this.meter.value = level(block);
    this.clock.textContent = `${(this.length / rate).toFixed(1)} s`;
    this.waveform.add(block, rate);
    if (this.length >= MAX_SECONDS * rate) this.stop();
  }

  /** What was heard so far is there at once: the microphone closes when it likes. */
  stop() {
    if (Recorder.active === this) Recorder.active = null;
    if (!this.isRecording) return;
    this.stopListening();
    this.stopListening = null;
    this.look();
    const samples = joined(this.blocks);
    if (!samples.length) return this.tell("nothingHeard", {}, "weak");
    this.keep(new File([wav(samples, this.rate)], "recording.wav", { type: "audio/wav" }));
    this.judge("good", { samples, rate: this.rate });
  }

  /** A file of the user's own; nothing happens for what is no file, and while recording or waiting. */
  async take(file) {
    if (!file || Recorder.active === this || this.isBusy) return;
    this.reset();
    this.keep(file);
    this.tell("opening");
    const sound = await decoded(file);
    if (this.file === file) this.judge("goodFile", sound);
  }

  keep(file) {
    this.file = file;
    this.clear.hidden = this.player.hidden = false;
    this.player.src = URL.createObjectURL(file);
  }

  judge(word, sound) {
    const name = this.file.name;
    if (!sound) {
      this.player.hidden = true;
      return this.tell("unseen", { name });
    }
    this.waveform.show(sound.samples);
    const seconds = (sound.samples.length / sound.rate).toFixed(1);
    const weak = weakness(sound.samples, sound.rate);
    this.tell(weak ?? word, { name, seconds }, weak ? "weak" : "good");
  }

  reset() {
    if (this.player.src) URL.revokeObjectURL(this.player.src);
    this.player.removeAttribute("src");
    this.clear.hidden = this.player.hidden = true;
    this.file = null;
    this.input.value = "";
    this.waveform.show(null);
    this.tell("empty");
    this.onChange();
  }

  /** Buttons, meter and clock as recording or not. */
  look() {
    this.box.classList.toggle("recording", this.isRecording);
    this.meter.hidden = this.clock.hidden = !this.isRecording;
    this.choose.disabled = this.isRecording;
    this.clock.textContent = "0.0 s";
    this.speak();
  }
}
