// The page: photos come in by choosing, dropping or pasting, and each becomes a card.

import { Card } from "./card.js";
import { classify } from "./classify.js";
import { ApiKey } from "./key.js";
import { Line } from "./line.js";
import { photos, spoken } from "./words.js";

const AT_A_TIME = 3;
const REMEMBERED_WORDS = 20;

const line = new Line(AT_A_TIME);
const cards = new Map(); // in the order of the page, by element
const locked = new Set();
const key = new ApiKey(unlock);

const [input, answers, title, list, clear, said, veil] = [
  "photos",
  "answers",
  "answers-title",
  "cards",
  "clear",
  "said",
  "veil",
].map((id) => document.getElementById(id));

/** Make a card of each file, the newest first. */
function take(files) {
  const fresh = [...files].map((file) => new Card(file, { retry: ask, remove }));
  if (!fresh.length) return;
  for (const card of fresh) cards.set(card.element, card);
  list.prepend(...fresh.map((card) => card.element));
  count();
  say(`${photos(fresh.length)} added`);
  fresh.forEach(ask);
}

function ask(card) {
  locked.delete(card);
  card.queued();
  line.add(() => answer(card));
}

async function answer(card) {
  if (card.signal.aborted) return;
  card.asking();
  const used = key.value;
  try {
    const told = await classify(card.file, { key: used, signal: card.signal, waits: (...when) => wait(card, ...when) });
    card.answered(told);
    say(`${card.file.name}: ${spoken(told)}`);
  } catch (error) {
    if (!card.signal.aborted) fail(card, error, used);
  }
}

function wait(card, seconds, attempt) {
  card.waiting(seconds, attempt);
  if (attempt === 2) say(`${card.file.name}: the server asks to wait`);
}

function fail(card, error, usedKey) {
  if (error.needsKey && key.value && key.value !== usedKey) return ask(card); // there is another by now
  card.failed(error.message);
  say(`${card.file.name}: ${error.message}`);
  if (!error.needsKey) return;
  locked.add(card);
  key.ask();
}

function unlock() {
  input.focus(); // the form goes
  const again = [...locked];
  locked.clear();
  again.forEach(ask);
}

function remove(card) {
  const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
  discard(card);
  count();
  say(`${card.file.name} removed`);
  if (next) cards.get(next).focusRemove();
  else input.focus();
}

function removeAll() {
  [...cards.values()].forEach(discard);
  count();
  say("All photos removed");
  input.focus();
}

function discard(card) {
  cards.delete(card.element);
  locked.delete(card);
  card.remove();
}

function count() {
  answers.hidden = !cards.size;
  title.textContent = photos(cards.size);
}

/** Tell those who listen instead of looking. */
function say(words) {
  const paragraph = document.createElement("p");
  paragraph.textContent = words;
  said.append(paragraph);
  if (said.childElementCount > REMEMBERED_WORDS) said.firstElementChild.remove();
}

function takeChosen() {
  take(input.files);
  input.value = ""; // so that the same file may be chosen again
}

function drag(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  veil.hidden = false;
}

function leave(event) {
  if (event.relatedTarget === null) veil.hidden = true; // out of the window
}

function drop(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  veil.hidden = true;
  take(event.dataTransfer.files);
}

input.addEventListener("change", takeChosen);
clear.addEventListener("click", removeAll);
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", drag);
document.addEventListener("dragleave", leave);
document.addEventListener("drop", drop);
takeChosen(); // what was chosen before this script came
