// Whether the server may keep small copies of photos: the page only asks where it does so.

const NAME = "scenery-keep-none";
const box = document.getElementById("keep-none");

if (box) {
  box.checked = remembered();
  box.addEventListener("change", () => remember(box.checked));
  document.getElementById("kept-choice").hidden = false;
}

/** Return the headers that tell the server what the person chose. */
export function keepingHeaders() {
  return box?.checked ? { "Cache-Control": "no-store" } : {};
}

// A browser may forbid its storage: the choice then holds as long as the page.

function remembered() {
  try {
    return localStorage.getItem(NAME) === "yes";
  } catch {
    return false;
  }
}

function remember(chosen) {
  try {
    if (chosen) localStorage.setItem(NAME, "yes");
    else localStorage.removeItem(NAME);
  } catch {
    // as said
  }
}
