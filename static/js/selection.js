/** Tells how many rows of a list are ticked, and lets those buttons work that take as many. */

for (const bar of document.querySelectorAll("[data-selection]")) {
  const counter = bar.querySelector("[data-selection-count]");
  const hint = counter.textContent;

  const show = () => {
    const count = document.querySelectorAll(`input:checked[form="${bar.id}"]`).length;
    counter.textContent = count ? bar.dataset.textChosen.replace("{count}", count) : hint;
    for (const button of bar.querySelectorAll("[data-fewest]")) {
      button.disabled = count < Number(button.dataset.fewest) || count > Number(button.dataset.most);
    }
  };
  document.addEventListener("change", show);
  document.addEventListener("htmx:afterSettle", show);
  window.addEventListener("pageshow", show); // a browser that goes back ticks them again
  show();
}
