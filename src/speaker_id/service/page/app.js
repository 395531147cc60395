// The page: its tasks, tabs and language.

import { candidates, card, element, explained, failure, warnings } from "./answers.js";
import { Recorder } from "./recorder.js";
import { Refused, addressOf, ask, isSendable } from "./service.js";
import * as users from "./users.js";
import { say, speak } from "./words.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

const recorders = $$(".recorder").map((box) => new Recorder(box, () => forget(box.closest("[role=tabpanel]"))));
const inside = (panel) => recorders.filter((recorder) => panel.contains(recorder.box));
const answers = new Map(); // panel -> a function that makes its answer, in the language of now

// --- tasks ------------------------------------------------------------------------------------------------------------
// Each sends what its panel holds, and returns a function that makes the answer: it is made again in another language.

const TASKS = {
  async identify([recording]) {
    const result = await ask("POST", "identify", { recording });
    if (result.score === null) return () => card("unsure", say("noUsers"), say("enrolLead"));
    const kind = result.user === null ? "no" : "yes";
    return () => card(
      kind, kind === "yes" ? say("isUser", { user: result.user }) : say("nobody"), ...explained(result),
      kind === "yes" && result.margin !== null && say("margin", { margin: result.margin.toFixed(3) }),
      candidates(result.candidates),
    );
  },
  async compare([a, b]) {
    const result = await ask("POST", "compare", { a, b });
    return () => card(result.accepted ? "yes" : "no", say(result.accepted ? "same" : "different"), ...explained(result));
  },
  async enrol([recordings]) {
    const user = $("#name").value.trim();
    const consent = `${say(consentWord().dataset.word)} (${new Date().toISOString()})`;
    const result = await ask("PUT", `${addressOf(user)}/recordings`, { recordings, consent });
    inside($("#panel-enrol")).forEach((recorder) => recorder.reset());
    return () => card(
      "yes", say("enrolled", { user }), say(result.keeps_recordings ? "keptSound" : "kept",
        { count: result.num_recordings }), warnings(result.warnings),
    );
  },
};

const consentWord = () => $("#panel-enrol .check [data-word]");

/** Whoever agrees must know to what: a service may keep the sound, too. */
async function askWhatIsKept() {
  const { keeps_recordings: kept } = await ask("GET", "health").catch(() => ({}));
  if (!kept) return;
  consentWord().dataset.word = "consentSound";
  consentWord().textContent = say("consentSound");
}

/** What a panel still lacks, as [the control to fill, the word for it]; null when it is complete. */
function missing(panel) {
  const name = $("[name=name]", panel);
  if (name && !name.value.trim()) return [name, "needName"];
  if (name && !isSendable(name.value.trim())) return [name, "badName"];
  for (const recorder of inside(panel)) {
    if (recorder.isRecording) return [recorder.record, "needStop"];
    if (!recorder.file) return [recorder.record, "needRecording"];
  }
  const consent = $("[name=consent]", panel);
  return consent && !consent.checked ? [consent, "needConsent"] : null;
}

function submit(panel, task) {
  const lack = missing(panel);
  if (!lack) return run(panel, () => task(inside(panel).map((recorder) => recorder.file)));
  lack[0].focus();
  return answer(panel, () => card("unsure", say(lack[1])));
}

/** Do a task: busy while it lasts, and an answer in words whatever happens. */
async function run(panel, task) {
  if (panel.getAttribute("aria-busy") === "true") return;
  panel.setAttribute("aria-busy", "true");
  answer(panel, () => element("p", { className: "busy" }, say(panel.id === "panel-users" ? "looking" : "working")));
  try {
    answer(panel, await task());
  } catch (error) {
    answer(panel, () => failure(error instanceof Refused ? error : new Refused("failed", String(error))));
    if (error.needsKey) $("#key-box").open = true;
    if (!(error instanceof Refused)) throw error;
  } finally {
    panel.setAttribute("aria-busy", "false");
  }
}

function answer(panel, make) {
  answers.set(panel, make);
  $(".answer", panel).replaceChildren(make());
}

/** An answer that is about another recording than the one shown would mislead. */
function forget(panel) {
  answers.delete(panel);
  $(".answer", panel).replaceChildren();
}

// --- tabs and language ------------------------------------------------------------------------------------------------

const usersPanel = $("#panel-users");
const runUsers = (task) => run(usersPanel, task);

function listUsers() {
  return runUsers(async () => {
    await users.load();
    users.draw(runUsers);
    return () => (users.isEmpty() ? card("", say("noUsers")) : "");
  });
}

function show(tab) {
  Recorder.active?.stop();
  for (const other of $$("[role=tab]")) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
    $(`#${other.getAttribute("aria-controls")}`).hidden = other !== tab;
  }
  if (tab.id === "tab-users") listUsers();
}

function translate(wanted) {
  const language = speak(wanted);
  document.documentElement.lang = $("#language").value = language;
  document.title = say("title");
  for (const node of $$("[data-word]")) node.textContent = say(node.dataset.word);
  for (const node of $$("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
  recorders.forEach((recorder) => recorder.speak());
  users.draw(runUsers);
  for (const [panel, make] of answers) $(".answer", panel).replaceChildren(make());
}

const tabs = $$("[role=tab]");
tabs.forEach((tab, index) => {
  tab.onclick = () => show(tab);
  tab.onkeydown = (event) => {
    const last = tabs.length - 1;
    const next = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index === 0 ? last : index - 1,
      Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tabs[next].focus();
    show(tabs[next]);
  };
});
for (const [name, task] of Object.entries(TASKS)) {
  const panel = $(`#panel-${name}`);
  $("form", panel).onsubmit = (event) => {
    event.preventDefault();
    submit(panel, task);
  };
}
for (const event of ["dragover", "drop"]) addEventListener(event, (happened) => happened.preventDefault()); // missed
$("#language").onchange = (event) => {
  translate(event.target.value);
  remember(event.target.value);
};

/** Browsers may forbid a page to remember anything: then it speaks the browser's language. */
function remember(language) {
  try {
    if (language) localStorage.setItem("language", language);
    return localStorage.getItem("language");
  } catch {
    return null;
  }
}

translate(remember() ?? navigator.language.split("-")[0]);
show(tabs[0]);
askWhatIsKept();
