// Answers in words, and a picture of score and threshold.

import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** `kind` is yes, no, unsure or nothing. */
export function card(kind, verdict, ...content) {
  const parts = content.filter(Boolean).map((part) => (part instanceof Node ? part : element("p", {}, part)));
  return element("div", { className: `card ${kind}` }, element("p", { className: "verdict" }, verdict), ...parts);
}

export function failure(error) {
  const detail = element("p", { className: "detail", lang: "en" }, error.detail);
  return card("unsure", say(error.key), error.needsKey && say("keyHelp"), error.detail && detail);
}

/** What score, threshold and probability mean, for whatever was compared. */
export function explained({ score, threshold, probability, prior, calibrated }) {
  const numbers = { score: score.toFixed(3), threshold: threshold.toFixed(3) };
  const words = [say(score >= threshold ? "accepted" : "refused", numbers)];
  if (probability !== null) words.push(say("probability", { percent: percent(probability), prior: percent(prior) }));
  if (!calibrated) words.push(say("uncalibrated"));
  return [scale(score, threshold), ...words];
}

/** What a person should look at, in the service's own words; null for nothing. */
export function warnings(found) {
  if (!found.length) return null;
  const list = element("ul", { lang: "en" }, ...found.map((one) => element("li", {}, one)));
  return element("div", { className: "warnings" }, element("p", {}, say("lookAt")), list);
}

export function candidates(matches) {
  if (!matches.length) return null;
  const heads = ["user", "points"].map((key) => element("th", { scope: "col" }, say(key)));
  const rows = matches.map(({ user, score }) =>
    element("tr", {}, element("td", {}, element("bdi", {}, user)), element("td", {}, score.toFixed(3))));
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("table", {}, element("caption", {}, say("candidates")), head, element("tbody", {}, ...rows));
}

/** Never a certainty: the last digit shown is one that the model can answer for. */
function percent(share) {
  if (share > 0.9999) return ">\u00a099.99\u00a0%";
  if (share < 0.0001) return "<\u00a00.01\u00a0%";
  return `${+(100 * share).toPrecision(share > 0.99 ? 4 : 3)}\u00a0%`;
}

/** The score as a bar from 0 to 1, with a mark at the threshold; the words beside it say the same. */
function scale(score, threshold) {
  const at = (value) => 1000 * Math.max(0, Math.min(1, value));
  const bar = (name, from, to) => shape("rect", { class: name, x: from, y: 8, width: to - from, height: 8, rx: 4 });
  const picture = shape("svg", { class: "scale", viewBox: "-12 0 1024 24", "aria-hidden": "true",
    preserveAspectRatio: "none" });
  picture.append(bar("all", 0, 1000), bar("reached", 0, at(score)),
    shape("rect", { class: "threshold", x: at(threshold) - 3, y: 0, width: 6, height: 24 }));
  return picture;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
