/** The buttons that copy a line, where the browser lets pages write to the clipboard (over HTTPS, or locally). */

function offer(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
  document.querySelector("[data-copy-status]").textContent = button.dataset.copied;
});

offer(document);
document.addEventListener("htmx:load", (event) => offer(event.target));
