/* Runs in the head, before anything is painted, so that the chosen theme never flashes. */
(() => {
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      const choice = localStorage.getItem("theme");
      return choice === "light" || choice === "dark" ? choice : "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };
  const apply = (choice) => {
    const theme = choice === "auto" ? (media.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.bsTheme = theme;
    document.documentElement.dataset.themeChoice = choice;
    document.dispatchEvent(new CustomEvent("themechange", { detail: { theme, choice } }));
  };
  window.siteTheme = {
    choice: stored,
    choose(choice) {
      try {
        localStorage.setItem("theme", choice);
      } catch {
        /* the choice then lasts for this page */
      }
      apply(choice);
    },
  };
  media.addEventListener("change", () => apply(stored()));
  // Paper is white, and printers leave backgrounds out.
  window.addEventListener("beforeprint", () => apply("light")); // charts are drawn anew, too
  window.addEventListener("afterprint", () => apply(stored()));
  apply(stored());
  document.documentElement.classList.add("js");
})();
