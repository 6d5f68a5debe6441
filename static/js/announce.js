/** Tells a screen reader when the state of a watched job changes, and nothing in between. */

const announcer = document.querySelector("[data-announcer]");
const state = () => document.querySelector("[data-announcement]");
let told = state()?.dataset.state;

document.addEventListener("htmx:afterSwap", () => {
  const panel = state();
  if (!panel || panel.dataset.state === told) return;
  told = panel.dataset.state;
  announcer.textContent = panel.dataset.announcement;
});
