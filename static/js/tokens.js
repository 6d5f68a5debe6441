/** The buttons that copy a token, where the browser lets pages write to the clipboard (over HTTPS, or locally). */

const status = document.querySelector("[data-copy-status]");

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.copied;
    status.textContent = button.dataset.copied;
  });
}
