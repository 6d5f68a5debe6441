/**
 * The classify page: pictures that are dropped, pasted, picked or photographed are shown at once and answered in turn.
 * The server answers each with a fragment of HTML; without this module the form still works as a plain post.
 */

const TIMEOUT_MS = 60_000;

const form = document.querySelector("[data-drop]");
const answers = document.querySelector("[data-answers]");
const announcements = document.querySelector("[data-announcements]");
const pendingTemplate = document.querySelector("template[data-pending]");
const problemTemplate = document.querySelector("template[data-problem-template]");
const texts = pendingTemplate.dataset;
const column = answers.closest(".answers-column");
const keep = form.elements.keep; // there where the site may keep the files themselves
const KEEP = "keep-original";

/** Pictures that were given while the box was ticked: what is ticked later says nothing about them. */
const kept = new WeakSet();

/** Pictures are answered one after the other, in the order in which they came. */
let queue = Promise.resolve();

function announce(card) {
  announcements.textContent = card.dataset.announcement ?? "";
}

function replace(card, replacement) {
  card.replaceWith(replacement);
  window.htmx?.process(replacement);
  replacement.dispatchEvent(new CustomEvent("fragment:added", { bubbles: true }));
  announce(replacement);
}

function problemCard(file, text) {
  const card = problemTemplate.content.firstElementChild.cloneNode(true);
  const name = card.querySelector("strong");
  if (file.name) name.textContent = file.name;
  card.querySelector("[data-problem]").textContent = text;
  card.dataset.announcement = `${file.name}: ${text}`;
  return card;
}

function offerRetry(card, file) {
  const button = card.querySelector("[data-retry]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const again = pendingCard(file);
    card.replaceWith(again);
    enqueue(again, file);
  });
}

function pendingCard(file) {
  const card = pendingTemplate.content.firstElementChild.cloneNode(true);
  const preview = card.querySelector("[data-preview]");
  const address = URL.createObjectURL(file);
  preview.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  preview.addEventListener(
    "error",
    () => {
      URL.revokeObjectURL(address);
      preview.hidden = true; // not a picture that this browser can show; the server says more
    },
    { once: true },
  );
  preview.src = address;
  card.querySelector("[data-file-name]").textContent = file.name;
  return card;
}

async function ask(file) {
  const body = new FormData();
  body.append("file", file, file.name || "picture");
  if (kept.has(file)) body.append("keep", "1");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const response = await fetch(form.dataset.answerUrl, {
    method: "POST",
    body,
    headers: { "X-CSRFToken": token, "X-Requested-With": "fetch" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.redirected) {
    window.location.assign(form.dataset.loginUrl); // signed out in the meantime
    throw new DOMException("signed out", "AbortError");
  }
  const fragment = document.createRange().createContextualFragment(await response.text());
  return { card: fragment.querySelector("[data-answer]"), response };
}

async function answer(card, file) {
  card.querySelector("[data-waiting]").hidden = true;
  card.querySelector("[data-looking]").hidden = false;
  let replacement;
  let retry = false;
  try {
    const { card: answered, response } = await ask(file);
    replacement = answered ?? problemCard(file, texts.textFailed);
    retry = response.status >= 500 || response.status === 429 || !answered;
  } catch (error) {
    if (error.name === "AbortError") return;
    replacement = problemCard(file, texts.textOffline);
    retry = true;
  }
  if (retry) offerRetry(replacement, file);
  replace(card, replacement);
}

function enqueue(card, file) {
  if (file.size > Number(form.dataset.maxBytes)) {
    replace(card, problemCard(file, texts.textLarge));
    return;
  }
  queue = queue.then(() => answer(card, file));
}

function take(files) {
  const cards = [...files].map((file) => [pendingCard(file), file]);
  if (!cards.length) return;
  if (keep?.checked) for (const [, file] of cards) kept.add(file);
  column.classList.add("has-answers");
  answers.prepend(...cards.map(([card]) => card));
  for (const [card, file] of cards) enqueue(card, file);
}

form.addEventListener("submit", (event) => event.preventDefault());

if (keep) {
  try {
    keep.checked = sessionStorage.getItem(KEEP) === "1";
  } catch {
    /* storage may be forbidden: the wish then lasts for this page */
  }
  keep.addEventListener("change", () => {
    try {
      sessionStorage.setItem(KEEP, keep.checked ? "1" : "0");
    } catch {
      /* the same */
    }
  });
}

for (const input of form.querySelectorAll("input[type=file]")) {
  const takeChosen = () => {
    take(input.files);
    input.value = ""; // the same picture may be chosen again
  };
  input.addEventListener("change", takeChosen);
  takeChosen(); // before this module was there
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
window.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  form.classList.add("is-over");
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("is-over");
});
window.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  form.classList.remove("is-over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = event.clipboardData?.files ?? [];
  if (files.length) {
    event.preventDefault();
    take(files);
  }
});
