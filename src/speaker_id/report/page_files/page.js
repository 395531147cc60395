"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

// Sound: one player for all buttons.
const player = document.querySelector("audio");
let playing = null;
function stop() {
  if (playing) playing.classList.remove("on");
  playing = null;
}
player.addEventListener("ended", stop);
for (const button of document.querySelectorAll("button.play")) {
  button.addEventListener("click", () => {
    const again = playing === button;
    player.pause();
    stop();
    if (again) return;
    playing = button;
    button.classList.add("on");
    player.src = data.sounds[button.dataset.sound];
    player.play().catch(() => { if (playing === button) stop(); });
  });
}

// What is pointed at says what it is.
const tip = document.getElementById("tip");
function show(event) {
  const mark = event.target.closest("[data-tip]");
  tip.hidden = !mark;
  for (const map of document.querySelectorAll(".map")) pick(map, mark);
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, event.clientX - width / 2), document.documentElement.clientWidth - width - 8);
  const above = event.clientY - height - 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${above < 8 ? event.clientY + 18 : above}px`;
}
function pick(map, mark) {
  const speaker = mark && map.contains(mark) ? mark.dataset.speaker : undefined;
  map.classList.toggle("picked", speaker !== undefined);
  for (const path of map.children) path.classList.toggle("same", path.dataset.speaker === speaker);
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

// The threshold to try.
const slider = document.getElementById("explorer");
const line = document.getElementById("explored");
function outOf(rate) {
  let base = 1000;
  while (rate > 0 && rate * base < 1 && base < 1e6) base *= 10;
  return `${Math.round(rate * base)} of ${base}`;
}
function explore() {
  const { thresholds, fpr, fnr } = data.sweep, i = Number(slider.value);
  slider.parentElement.querySelector("output").textContent =
    `Threshold ${thresholds[i].toFixed(3)}: ${outOf(fpr[i])} strangers let in, ${outOf(fnr[i])} true speakers refused.`;
  const [left, right, top, bottom, low, high] = ["left", "right", "top", "bottom", "low", "high"].map((name) => Number(line.dataset[name]));
  const x = left + ((thresholds[i] - low) / (high - low)) * (right - left);
  line.setAttribute("d", `M${x.toFixed(1)} ${top}V${bottom}`);
}
if (slider && line) {
  const { thresholds, fpr, fnr } = data.sweep;
  slider.max = thresholds.length - 1;
  slider.value = thresholds.findIndex((_, i) => fnr[i] >= fpr[i]);
  slider.parentElement.hidden = false;
  slider.addEventListener("input", explore);
  explore();
}
