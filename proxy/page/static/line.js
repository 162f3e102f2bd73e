// Work that is done a few at a time, first come, first served.

export class Line {
  #waiting = [];
  #running = 0;
  #most;

  /** @param {number} most how much is done at a time */
  constructor(most) {
    this.#most = most;
  }

  /** @param {() => Promise<void>} work begins when it is its turn, and handles its own errors */
  add(work) {
    this.#waiting.push(work);
    this.#next();
  }

  async #next() {
    if (this.#running === this.#most || !this.#waiting.length) return;
    this.#running += 1;
    try {
      await this.#waiting.shift()();
    } finally {
      this.#running -= 1;
      this.#next();
    }
  }
}
