// What is seen of a photo: its picture, its labels with their scores, and how far the work is.

export const KEYS = "123456789abcdefghijklmnopqrstvwxy"; // without u and z, which do something else

const byId = (id) => document.getElementById(id);
const [picture, blank, name, state, trouble, list, progress, share, said] = [
  "photo",
  "blank",
  "name",
  "state",
  "trouble",
  "labels",
  "progress",
  "share",
  "said",
].map(byId);
const rows = new Map(); // by label

picture.addEventListener("load", () => showPicture(true));
picture.addEventListener("error", () => {
  blank.textContent = "This photo cannot be shown.";
  showPicture(false);
});

/** Make a row for each label; `toggle` is told whose box was clicked. */
export function makeLabels(labels, toggle) {
  for (const [place, label] of labels.entries()) {
    const row = byId("label").content.cloneNode(true).querySelector("li");
    const box = row.querySelector("input");
    row.querySelector(".label").textContent = label;
    row.querySelector("kbd").textContent = (KEYS[place] ?? "").toUpperCase();
    row.querySelector("kbd").hidden = place >= KEYS.length;
    if (place < KEYS.length) box.setAttribute("aria-keyshortcuts", KEYS[place].toUpperCase());
    box.addEventListener("change", () => toggle(label));
    list.append(row);
    rows.set(label, row);
  }
}

export function showPhoto(address, called) {
  if (picture.getAttribute("src") === address) return;
  blank.textContent = "Loading…";
  showPicture(false);
  picture.alt = `The photo ${called}`;
  picture.src = address;
  name.textContent = called;
}

/** Show what is known of a photo, with the labels as they would be saved. */
export function showLabels(known, flags, isChanged) {
  for (const [label, row] of rows) {
    const score = known.scores[label];
    row.querySelector("input").checked = Boolean(flags[label]);
    row.querySelector(".percent").textContent = score === undefined ? "" : percent(score);
    row.querySelector(".bar").hidden = score === undefined;
    row.querySelector(".bar span").style.width = `${100 * (score ?? 0)}%`;
    row.classList.toggle("reached", score >= (known.thresholds[label] ?? 0.5));
  }
  state.textContent = stateOf(known, isChanged);
}

/** Show that nothing is known of a photo. */
export function showNothing() {
  showLabels({ scores: {}, thresholds: {}, labelled: false }, {}, false);
}

export function showProgress(place, total, unlabelled) {
  progress.textContent = `${place + 1} of ${total}, ${unlabelled || "none"} unlabelled`;
  share.max = total;
  share.value = total - unlabelled;
}

/** Say what is wrong; nothing if all is well. */
export function complain(words = "") {
  trouble.textContent = words;
}

/** Tell those who listen instead of looking. */
export function say(words) {
  said.textContent = words;
}

export function spoken(flags) {
  const given = Object.keys(flags).filter((label) => flags[label]);
  return given.join(", ") || "no label";
}

function stateOf(known, isChanged) {
  if (isChanged) return "Changed, not saved yet";
  if (known.labelled) return "Labelled";
  return Object.keys(known.scores).length ? "A model’s guess: correct it, then save" : "Not labelled yet";
}

function percent(score) {
  const whole = Math.round(100 * score);
  if (whole === 0 && score > 0) return "<1 %";
  if (whole === 100 && score < 1) return ">99 %";
  return `${whole} %`;
}

function showPicture(isThere) {
  picture.hidden = !isThere;
  blank.hidden = isThere;
}
