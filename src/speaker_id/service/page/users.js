// Who is enrolled: a list that grows page by page, with details where asked for, and removal after a question.

import { card, element } from "./answers.js";
import { Refused, addressOf, ask } from "./service.js";
import { date, say, time } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const PAGE_SIZE = 100;

let listed = null; // { total, users, undo } as far as they were asked for; null before the first time

/** Ask for the first users, or for those after the listed ones. Raises Refused. */
export async function load({ after = "" } = {}) {
  const found = await ask("GET", `users?limit=${PAGE_SIZE}&after=${encodeURIComponent(after)}`);
  const users = after ? [...listed.users, ...found.users] : found.users;
  listed = { total: found.total, users, undo: found.grace_seconds > 0 };
}

/** Show what is listed; `run(task)` does a task of the panel and shows its answer. */
export function draw(run) {
  if (!listed) return;
  const { total, users } = listed;
  $("#user-count").textContent = total ? say("listed", { count: total }) : "";
  $("#user-list").replaceChildren(...users.map((one) => row(one, run)));
  const more = $("#more");
  more.hidden = users.length >= total;
  more.onclick = () => run(async () => {
    await load({ after: users.at(-1).user });
    draw(run);
    return () => "";
  });
}

export const isEmpty = () => listed?.total === 0;

function row(one, run) {
  const { user, num_recordings: count, enrolled, expires } = one;
  const about = [say("count", { count }), say("since", { date: date(enrolled) })];
  if (expires) about.push(say("until", { date: date(expires) }));
  const small = element("small", {}, about.join(" · "));
  const who = element("div", { className: "who" }, element("bdi", {}, user), small);
  const button = element("button", { type: "button" }, say("remove"));
  button.setAttribute("aria-label", say("removeOne", { user }));
  button.onclick = () => remove(user, run);
  return element("li", {}, who, details(one), button);
}

/** Consent and metadata, asked for when they are opened; they stay open when the list is drawn again. */
function details(one) {
  const summary = element("summary", {}, say("details"));
  summary.setAttribute("aria-label", say("detailsOf", { user: one.user }));
  const content = element("div", { role: "status" });
  const box = element("details", { open: Boolean(one.shown) }, summary, content);
  const fill = () => content.replaceChildren(one.shown());
  if (one.shown) fill();
  box.ontoggle = async () => {
    if (!box.open) one.shown = null;
    if (!box.open || one.shown) return;
    one.shown = () => say("looking");
    fill();
    try {
      const found = await ask("GET", addressOf(one.user));
      one.shown = () => noted(found);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      one.shown = () => [say(error.key), error.detail].filter(Boolean).join(" · ");
    }
    fill();
  };
  return box;
}

function noted({ consent, metadata, changed }) {
  const pairs = [[say("consented"), consent ?? say("unsaid")], ...Object.entries(metadata),
    [say("changed"), time(changed)]];
  return element("dl", {}, ...pairs.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]));
}

async function remove(user, run) {
  if (!(await confirmed(user))) return;
  await run(async () => {
    const found = await ask("DELETE", addressOf(user));
    await again(run); // the button that had the focus is gone
    const until = found.restorable_until;
    return () => card(
      "yes", say(until ? "hidden" : "removed", { user }), until && say("hiddenUntil", { time: time(until) }),
      until && undo(user, run), found.copies.length && copies(found.copies),
    );
  });
}

function undo(user, run) {
  const button = element("button", { type: "button", className: "undo" }, say("undo"));
  button.setAttribute("aria-label", say("undoOne", { user }));
  button.onclick = () => run(async () => {
    await ask("POST", `${addressOf(user)}/restore`);
    await again(run);
    return () => card("yes", say("restored", { user }));
  });
  return button;
}

function copies(found) {
  const list = found.map((copy) => element("li", {}, `${copy.description} (${time(copy.time)})`));
  return element("div", { className: "warnings" }, element("p", {}, say("copies")), element("ul", {}, ...list));
}

async function again(run) {
  await load();
  draw(run);
  $("#panel-users").focus();
}

async function confirmed(user) {
  const dialog = $("#confirm");
  $("#confirm-text").textContent = say(listed.undo ? "hideAsk" : "removeAsk", { user });
  dialog.querySelector("[value=yes]").textContent = say(listed.undo ? "hideGo" : "removeGo");
  dialog.returnValue = "no"; // Escape leaves it as it is
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "yes";
}
