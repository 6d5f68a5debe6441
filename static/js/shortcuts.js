/**
 * Keys for lists, with which a page is gone through without a mouse. The page names what they act on: its rows, each with
 * a link and perhaps a checkbox, by `data-shortcut-row`, and the field to search in, or its form, by
 * `data-shortcut-search`. The dialog of `_partials/shortcuts.html` explains the keys and turns them off.
 */

const KEY = "shortcuts";
const dialog = document.querySelector("[data-shortcuts]");
const use = dialog.querySelector("[data-shortcuts-use]");

function isOn() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true; // storage may be forbidden
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, use.checked ? "on" : "off");
  } catch {
    /* the choice then lasts for this page */
  }
}

const row = () => document.activeElement?.closest("[data-shortcut-row]");

function searchField() {
  const named = document.querySelector("[data-shortcut-search]");
  return named?.matches("form") ? named.querySelector("input:not([type=hidden]), select") : named;
}

/** Moves to the next row or the one before; from outside the rows to the first. */
function move(step) {
  const rows = [...document.querySelectorAll("[data-shortcut-row]")];
  const place = rows.indexOf(row());
  const next = rows[place < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, place + step))];
  next?.querySelector("a[href]").focus();
}

/** Each returns false where it leaves the key to the browser. */
const actions = {
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => (row() ? move(1) : false),
  ArrowUp: () => (row() ? move(-1) : false),
  x: () => row()?.querySelector("input[type=checkbox]")?.click() ?? Boolean(row()),
  "/": () => searchField()?.focus(),
  "?": () => dialog.showModal(),
};

const isTyping = (element) => element.isContentEditable || element.matches("input:not([type=checkbox]), select, textarea");

document.addEventListener("keydown", (event) => {
  if (!use.checked || dialog.open || event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
  const act = actions[event.key];
  if (act && act() !== false) event.preventDefault();
});
document.querySelector("[data-shortcuts-button]").addEventListener("click", () => dialog.showModal());
use.checked = isOn();
use.addEventListener("change", keep);
