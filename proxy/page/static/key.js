// The API key: asked for when the server wants one, kept as long as the tab.

const NAME = "scenery-api-key";

export class ApiKey {
  #form = document.getElementById("key");
  #field = document.getElementById("key-field");
  #value = remembered();

  /** @param {() => void} given is told when there is a new key */
  constructor(given) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#keep(this.#field.value.trim());
      given();
    });
  }

  /** @returns {?string} */
  get value() {
    return this.#value;
  }

  /** Ask for a key, since the server refused this one, or having none. */
  ask() {
    this.#form.hidden = false;
    if (this.#value !== null) this.#field.focus();
    this.#value = null;
    forget();
  }

  #keep(value) {
    this.#value = value;
    this.#field.value = "";
    this.#form.hidden = true;
    remember(value);
  }
}

// A browser may forbid its storage: the key is then kept as long as the page.

function remembered() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}

function remember(value) {
  try {
    sessionStorage.setItem(NAME, value);
  } catch {
    // kept by the page
  }
}

function forget() {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    // there was none
  }
}
