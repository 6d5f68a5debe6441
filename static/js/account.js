/** The choice of colours on the account page: the same one as the button in the header, in words. */

const choices = document.querySelector("[data-theme-choices]");

for (const radio of choices.querySelectorAll("input")) {
  radio.checked = radio.value === window.siteTheme.choice();
  radio.addEventListener("change", () => window.siteTheme.choose(radio.value));
}

document.addEventListener("themechange", ({ detail }) => {
  choices.querySelector(`[value="${detail.choice}"]`).checked = true;
});
