// Numbers and lists as people read them.

const SOURCES = {
  setting: "The labels’ names are the server’s; the model has none.",
  index: "The model does not name its labels; these are their numbers.",
};

/** Return a score in percent; never a certainty that it is not. @param {number} score in [0, 1] */
export function percent(score) {
  const rounded = Math.round(100 * score);
  if (rounded === 0 && score > 0) return "<1\u00a0%";
  if (rounded === 100 && score < 1) return ">99\u00a0%";
  return `${rounded}\u00a0%`;
}

/** Return what a photo's answer comes down to. */
export function found({ labels }) {
  return labels.length ? `Found: ${labels.join(", ")}` : "None of the labels found";
}

/** Return the same for ears, with scores. */
export function spoken({ labels, scores }) {
  if (!labels.length) return "none of the labels found";
  return labels.map((label) => `${label} ${percent(scores[label])}`).join(", ");
}

/** Return who answered, and who named the labels if it was not the model. */
export function source({ model, version, labels_from: from }) {
  return [`Answered by ${model}, version ${version}.`, SOURCES[from]].filter(Boolean).join(" ");
}

/** Return how many photos there are. @param {number} count */
export function photos(count) {
  return count === 1 ? "1 photo" : `${count} photos`;
}
