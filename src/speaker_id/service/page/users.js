// Who is enrolled: a list that grows page by page, and removal after a question.

import { card, element } from "./answers.js";
import { addressOf, ask } from "./service.js";
import { date, say } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const PAGE_SIZE = 100;

let listed = null; // { total, users } as far as they were asked for; null before the first time

/** Ask for the first users, or for those after the listed ones. Raises Refused. */
export async function load({ after = "" } = {}) {
  const found = await ask("GET", `users?limit=${PAGE_SIZE}&after=${encodeURIComponent(after)}`);
  listed = { total: found.total, users: after ? [...listed.users, ...found.users] : found.users };
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

function row({ user, num_recordings: count, enrolled, expires }, run) {
  const about = [say("count", { count }), say("since", { date: date(enrolled) })];
  if (expires) about.push(say("until", { date: date(expires) }));
  const who = element("span", { className: "who" }, element("bdi", {}, user), element("small", {}, about.join(" · ")));
  const button = element("button", { type: "button" }, say("remove"));
  button.setAttribute("aria-label", say("removeOne", { user }));
  button.onclick = () => remove(user, run);
  return element("li", {}, who, button);
}

async function remove(user, run) {
  if (!(await confirmed(user))) return;
  await run(async () => {
    await ask("DELETE", addressOf(user));
    await load();
    draw(run);
    $("#panel-users").focus(); // the button that had the focus is gone
    return () => card("yes", say("removed", { user }));
  });
}

async function confirmed(user) {
  const dialog = $("#confirm");
  $("#confirm-text").textContent = say("removeAsk", { user });
  dialog.returnValue = "no"; // Escape leaves it as it is
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "yes";
}
