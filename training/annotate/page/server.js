// What the server on this machine knows and keeps. Addresses are relative to the page's, which has the secret.

/** The server refuses, with its own words; a conflict carries what is saved now. */
export class Refusal extends Error {
  constructor(words, now) {
    super(words);
    this.now = now;
  }
}

const ENDED = "The server has ended. What you saved is on disk: run scenery annotate again to go on.";

export const task = () => ask("task");
export const annotation = (name) => ask(at("annotations", name));
export const photo = (name) => at("photos", name);
export const done = () => ask("done", { method: "POST" });

/** Write a photo's labels, unless somebody else did since `version`. */
export function save(name, flags, confirmed, version) {
  return ask(at("annotations", name), {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ flags, confirmed, version }),
  });
}

function at(what, name) {
  return `${what}/${name.split("/").map(encodeURIComponent).join("/")}`;
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Refusal(ENDED);
  }
  const told = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (response.ok) return told;
  throw new Refusal(told.detail ?? `The server answers with status ${response.status}.`, response.status === 409 ? told : null);
}
