// Questions to the service that this page came from.

import { has } from "./words.js";

/** The service, or the way to it, said no: `key` is the word for a headline, `detail` the service's own. */
export class Refused extends Error {
  constructor(key, detail = "", needsKey = false) {
    super(detail || key);
    this.key = key;
    this.detail = detail;
    this.needsKey = needsKey;
  }
}

/** The answer's JSON; raises Refused. `fields` become a form, whose values may be files. */
export async function ask(method, path, fields = null) {
  const body = fields ? new FormData() : undefined;
  for (const [name, value] of Object.entries(fields ?? {})) body.append(name, value);
  const key = document.querySelector("#key").value.trim();
  if (!/^[\x21-\x7e]*$/.test(key)) throw new Refused("error401", "", true); // no header may hold such letters
  let response;
  try {
    response = await fetch(path, { method, body, headers: key ? { Authorization: `Bearer ${key}` } : {} });
  } catch {
    throw new Refused("offline");
  }
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  const known = [`error${content.error}`, `error${response.status}`].find(has);
  throw new Refused(known ?? "failed", content.message ?? `HTTP ${response.status}`, response.status === 401);
}

/** Where a user is: names hold any letters, but addresses drop a path part that is only dots. */
export const addressOf = (user) => `users/${encodeURIComponent(user)}`;
export const isSendable = (user) => user !== "." && user !== "..";
