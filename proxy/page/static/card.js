// One photo on the page: its picture, how far it is, and its answer.

import { ATTEMPTS } from "./classify.js";
import { found, percent, source } from "./words.js";

export class Card {
  #gone = new AbortController();
  #url;

  /**
   * @param {File} file
   * @param {{retry: (card: Card) => void, remove: (card: Card) => void}} on what its buttons do
   */
  constructor(file, on) {
    this.file = file;
    this.element = copy("card");
    this.#part("h3").textContent = file.name;
    this.#part(".remove").setAttribute("aria-label", `Remove ${file.name}`);
    this.#part(".remove").addEventListener("click", () => on.remove(this));
    this.#part(".retry").addEventListener("click", () => {
      this.#part("h3").focus(); // the button goes
      on.retry(this);
    });
    this.#picture();
  }

  /** Aborted when the card is taken away. */
  get signal() {
    return this.#gone.signal;
  }

  queued() {
    this.#state("queued", "Waiting for its turn");
  }

  asking() {
    this.#state("asking", "Asking the model…");
  }

  /** @param {number} seconds until the next attempt @param {number} attempt its number */
  waiting(seconds, attempt) {
    this.#state("asking", `The server asks to wait. Attempt ${attempt} of ${ATTEMPTS} in ${seconds} s.`);
  }

  /** @param {object} answer what the server says of the photo */
  answered(answer) {
    this.#state("answered", found(answer));
    const rows = Object.entries(answer.scores).map(([label, score]) =>
      row(label, score, answer.labels.includes(label)),
    );
    this.#part(".scores").replaceChildren(...rows);
    this.#part(".source").textContent = source(answer);
  }

  /** @param {string} why */
  failed(why) {
    this.#state("failed", why);
  }

  /** Take the card away, and what is still under way for it. */
  remove() {
    this.#gone.abort();
    URL.revokeObjectURL(this.#url);
    this.element.remove();
  }

  focusRemove() {
    this.#part(".remove").focus();
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  #state(name, words) {
    this.element.dataset.state = name;
    this.#part(".state").textContent = words;
    for (const part of [".scores", ".source"]) this.#part(part).hidden = name !== "answered";
    this.#part(".retry").hidden = name !== "failed";
  }

  #picture() {
    const image = this.#part("img");
    this.#url = URL.createObjectURL(this.file);
    image.addEventListener("load", () => URL.revokeObjectURL(this.#url));
    image.addEventListener("error", () => {
      URL.revokeObjectURL(this.#url);
      image.replaceWith("No preview");
    });
    image.src = this.#url;
  }
}

function row(label, score, reached) {
  const element = copy("score");
  const part = (name) => element.querySelector(`.${name}`);
  element.classList.toggle("reached", reached);
  part("mark").textContent = reached ? "✓" : "";
  part("label").textContent = label;
  part("percent").textContent = percent(score);
  part("bar").setAttribute("aria-label", label);
  part("bar").setAttribute("aria-valuenow", score);
  part("bar").setAttribute("aria-valuetext", percent(score) + (reached ? ", reaches its threshold" : ""));
  part("bar").firstChild.style.width = `${100 * score}%`;
  return element;
}

function copy(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}
