/**
 * The history: how many rows are chosen, a box that chooses the whole page, and the reader's time zone in the filters.
 * Without this module the boxes and buttons work as plain form controls, and days are those of the site's zone.
 */

const zone = document.querySelector("input[data-time-zone]");
if (zone) {
  zone.value = document.documentElement.dataset.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  // Only days need it, and an address without it is shorter.
  zone.form.addEventListener("submit", () => {
    for (const field of zone.form.elements) field.disabled = field.name && !field.value;
    if (!zone.form.elements.day_from.value && !zone.form.elements.day_to.value) zone.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    for (const field of zone.form.elements) field.disabled = false; // this page came back from the browser's memory
  });
}

function watchSelection(form) {
  const boxes = [...form.querySelectorAll("input[name=id]")];
  const all = form.querySelector("[data-select-all]");
  const box = all.querySelector("input");
  const words = all.querySelector("[data-chosen]");
  const button = form.querySelector("[data-needs-choice]");

  function show() {
    const count = boxes.filter((one) => one.checked).length;
    box.checked = count === boxes.length;
    box.indeterminate = count > 0 && count < boxes.length;
    words.textContent = count ? `${words.dataset.some} ${count}` : words.dataset.none;
    button.disabled = !count;
  }

  box.addEventListener("change", () => {
    for (const one of boxes) one.checked = box.checked;
    show();
  });
  form.addEventListener("change", show);
  window.addEventListener("pageshow", show); // boxes keep their state when one comes back
  show();
}

for (const form of document.querySelectorAll("[data-selection]")) watchSelection(form);
