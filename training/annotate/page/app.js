// The page: a photo at a time, labelled by keys, clicks or touch; each save is on disk at once.

import * as server from "./server.js";
import * as view from "./view.js";

const drafts = new Map(); // labels that differ from what is saved, by the photo's name
const steps = []; // what can be undone, the newest last
let labels = [];
let photos = [];
let place = 0;
let known = null; // what the server knows of the photo; null if that cannot be read
let turn = Promise.resolve();
let round = 0;
let isWarned = false; // that labels are not saved, by Done; until others are

/** Do things one after the other, so that fast keys go to the photo they are meant for; a failure drops the rest. */
function queue(action) {
  const mine = round;
  turn = turn.then(async () => {
    if (mine !== round) return;
    try {
      await action();
    } catch (error) {
      round += 1;
      view.complain(error.message);
    }
  });
}

const name = () => photos[place].name;
const flags = () => drafts.get(name()) ?? known.flags;
const unlabelled = () => photos.filter((photo) => !photo.labelled).length;

async function go(to) {
  if (to < 0 || to >= photos.length) return view.say(to < 0 ? "This is the first photo" : "This is the last photo");
  place = to;
  known = null;
  view.complain();
  view.showPhoto(server.photo(name()), name());
  view.showProgress(place, photos.length, unlabelled());
  try {
    take(await server.annotation(name()));
  } catch (error) {
    view.showNothing();
    throw error;
  }
  view.say(`${name()}, ${place + 1} of ${photos.length}: ${view.spoken(flags())}`);
  if (place + 1 < photos.length) new Image().src = server.photo(photos[place + 1].name);
}

/** Show what the server knows now of the photo. */
function take(told) {
  known = told;
  photos[place].labelled = told.labelled;
  view.showProgress(place, photos.length, unlabelled());
  draw();
}

function draw() {
  view.showLabels(known, flags(), drafts.has(name()));
}

function set(wanted) {
  if (labels.every((label) => wanted[label] === known.flags[label])) drafts.delete(name());
  else drafts.set(name(), wanted);
  isWarned = false;
  draw();
}

function requireKnown() {
  if (known) return;
  view.showNothing();
  throw new Error("The labels of this photo cannot be read; go on to another one.");
}

function toggle(label) {
  requireKnown();
  const at = place;
  set({ ...flags(), [label]: !flags()[label] });
  view.say(`${label} ${flags()[label] ? "given" : "taken away"}`);
  steps.push(async () => {
    if (place !== at) await go(at);
    set({ ...flags(), [label]: !flags()[label] });
    view.say(`Undone: ${label} ${flags()[label] ? "given" : "taken away"}`);
  });
}

async function save() {
  requireKnown();
  const [at, before, wanted] = [place, known, flags()];
  await put(wanted, true);
  steps.push(async () => {
    if (place !== at) await go(at);
    const flags = Object.entries(before.flags).filter(([label]) => !before.missing.includes(label));
    await put(Object.fromEntries(flags), before.confirmed);
    set(wanted);
    view.say(`Undone: ${name()} is as it was before it was saved`);
  });
  if (place + 1 < photos.length) return go(place + 1);
  view.say("Saved. This is the last photo");
}

async function put(wanted, confirmed) {
  try {
    const told = await server.save(name(), wanted, confirmed, known.version);
    drafts.delete(name());
    view.complain();
    take(told);
  } catch (error) {
    if (!error.now) throw error;
    drafts.delete(name());
    take(error.now);
    throw new Error(
      `Somebody else changed this photo meanwhile; their labels are shown (${view.spoken(error.now.flags)}). ` +
        `Yours were not saved: ${view.spoken(wanted)}. Correct them if need be, and save.`,
    );
  }
}

function jump() {
  const order = photos.map((_, step) => (place + 1 + step) % photos.length);
  const next = order.find((each) => !photos[each].labelled);
  return next === undefined ? view.say("Every photo is labelled") : go(next);
}

function undo() {
  return steps.length ? steps.pop()() : view.say("There is nothing to undo");
}

async function finish() {
  if (drafts.size && !isWarned) {
    isWarned = true;
    throw new Error(`Not saved yet: ${[...drafts.keys()].join(", ")}. Save them, or press Done again to leave them.`);
  }
  drafts.clear();
  await server.done();
  for (const id of ["work", "done", "share", "progress"]) document.getElementById(id).hidden = true;
  const ended = document.getElementById("ended");
  ended.hidden = false;
  ended.querySelector("h2").focus();
}

const BY_KEY = {
  Enter: save,
  ArrowLeft: () => go(place - 1),
  ArrowRight: () => go(place + 1),
  u: jump,
  z: undo,
};

function press(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isUndo = key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
  if (event.altKey || ((event.ctrlKey || event.metaKey) && !isUndo)) return;
  if (!document.getElementById("keys").checked || !labels.length) return;
  if (key === "Enter" && event.target.closest("button, summary")) return; // it presses that
  const label = labels[view.KEYS.indexOf(key)];
  const action = BY_KEY[key] ?? (label && (() => toggle(label)));
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || key.startsWith("Arrow")) queue(action);
}

/** Let a button act; after a click by pointer, keys are for the page again. */
function wire(id, action) {
  document.getElementById(id).addEventListener("click", (event) => {
    if (event.detail) event.currentTarget.blur();
    queue(action);
  });
}

async function start() {
  ({ labels, photos } = await server.task());
  view.makeLabels(labels, (label) => queue(() => toggle(label)));
  const first = photos.findIndex((photo) => !photo.labelled);
  await go(Math.max(first, 0));
}

wire("back", BY_KEY.ArrowLeft);
wire("forward", BY_KEY.ArrowRight);
wire("undo", undo);
wire("jump", jump);
wire("save", save);
wire("done", finish);
document.addEventListener("keydown", press);
window.addEventListener("beforeunload", (event) => drafts.size && event.preventDefault());
queue(start);
