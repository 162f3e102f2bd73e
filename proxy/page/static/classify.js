// One photo to the server, and its answer back. A server that asks to wait is asked again.

import { keepingHeaders } from "./kept.js";

export const ATTEMPTS = 5;
const LONGEST_WAIT_SECONDS = 60;
const NO_KEY = "The server wants an API key. Enter it above.";
const UNKNOWN_KEY = "The server does not know this API key. Enter another above.";

/** Why a photo has no labels, in words for whoever sent it. */
export class Failure extends Error {
  /** @param {string} words */
  constructor(words, needsKey = false) {
    super(words);
    this.needsKey = needsKey;
  }
}

/**
 * Return what the server says of a photo, and the model's name.
 *
 * @param {File} file
 * @param {{key: ?string, signal: AbortSignal, waits: (seconds: number, attempt: number) => void}} how
 *   `waits` is told when the photo is sent again, and which attempt that is.
 * @throws {Failure} if there is no answer
 */
export async function classify(file, { key, signal, waits }) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await send(file, key, signal);
    if (response.ok) return answerOf(response);
    if (response.status === 401) throw new Failure(key ? UNKNOWN_KEY : NO_KEY, true);
    const seconds = waitSeconds(response, attempt);
    if (seconds === null) throw await failureOf(response);
    waits(seconds, attempt + 1);
    await pause(seconds, signal);
  }
}

async function send(file, key, signal) {
  const headers = { "Content-Type": contentType(file), Accept: "application/json", ...keepingHeaders() };
  if (key) headers.Authorization = `Bearer ${key}`;
  try {
    return await fetch("v1/classify", { method: "POST", headers, body: file, signal });
  } catch {
    throw new Failure(
      (await isReadable(file))
        ? "The server cannot be reached. Check the connection, then try again."
        : "The file cannot be read. It may be a folder, or have changed since; choose it again.",
    );
  }
}

/** What is no image by its name is sent as bytes, for the server to look at. */
function contentType(file) {
  return file.type.startsWith("image/") ? file.type : "application/octet-stream";
}

async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

async function answerOf(response) {
  try {
    const { model, photos } = await response.json();
    return { model, ...photos[0] };
  } catch {
    throw new Failure("The server’s answer broke off or is not what this page knows. Try again.");
  }
}

/** Return how long the server asks to wait, in seconds; null if it does not, or too long, or too often. */
function waitSeconds(response, attempt) {
  const asked = response.headers.get("Retry-After");
  if (![429, 503].includes(response.status) || asked === null || attempt === ATTEMPTS) return null;
  const seconds = /^\d+$/.test(asked) ? Number(asked) : (Date.parse(asked) - Date.now()) / 1000;
  return seconds <= LONGEST_WAIT_SECONDS ? Math.ceil(Math.max(seconds, 2 ** (attempt - 1))) : null;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function failureOf(response) {
  return new Failure((await detailOf(response)) ?? wordsFor(response.status));
}

async function detailOf(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return undefined; // not the application itself: a proxy in front of it
  }
}

function wordsFor(status) {
  if (status === 413) return "The photo is too large for this server. Send a smaller one.";
  return `The server failed, with status ${status} and no word why. Try again later.`;
}
