/**
 * What every page does: the buttons of theme and language, moments in the reader's time zone, wide tables, words when the
 * connection is lost.
 */

const language = document.documentElement.lang || "en";
const moments = momentsIn(document.documentElement.dataset.timeZone); // the person's choice; without one the browser's own

function momentsIn(timeZone) {
  try {
    return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a time zone newer than this browser
    return momentsIn(undefined);
  }
}

function localTimes(root) {
  for (const element of root.querySelectorAll("time[data-local-time]")) {
    element.title = element.dateTime;
    element.textContent = moments.format(new Date(element.dateTime));
    delete element.dataset.localTime;
  }
}

/** A table that is wider than its panel can be scrolled by keyboard, too. One that stays through refreshes is watched once. */
const tables = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

function scrollableTables(root) {
  for (const element of root.querySelectorAll(".table-wrap")) tables.observe(element);
}

function themeButton() {
  const button = document.querySelector("[data-theme-button]");
  if (!button) return;
  const order = ["auto", "light", "dark"];
  const show = () => {
    const label = button.dataset[`label${window.siteTheme.choice()}`];
    button.title = label;
    button.querySelector("[data-theme-label]").textContent = label;
  };
  button.addEventListener("click", () => {
    window.siteTheme.choose(order[(order.indexOf(window.siteTheme.choice()) + 1) % order.length]);
    show();
  });
  show();
}

/** One quiet line while the server cannot be reached; it goes away by itself with the next answer. */
function connectionNotice() {
  const notice = document.querySelector("[data-connection-notice]");
  if (!notice) return;
  const show = (lost) => {
    notice.hidden = !lost;
  };
  document.addEventListener("htmx:sendError", () => show(true));
  document.addEventListener("htmx:timeout", () => show(true));
  document.addEventListener("htmx:responseError", (event) => show(event.detail.xhr.status >= 500));
  document.addEventListener("htmx:afterOnLoad", () => show(false));
  window.addEventListener("offline", () => show(true));
  window.addEventListener("online", () => show(false));
}

/** The page comes back in another language as it is now: a script may have kept something in its address since. */
function languageForm() {
  const form = document.querySelector("[data-language-form]");
  form?.addEventListener("submit", () => {
    const { pathname, search, hash } = window.location;
    form.elements.next.value = pathname + search + hash;
  });
}

themeButton();
languageForm();
connectionNotice();
localTimes(document);
scrollableTables(document);
document.addEventListener("htmx:load", (event) => localTimes(event.target));
document.addEventListener("htmx:load", (event) => scrollableTables(event.target));
document.addEventListener("fragment:added", (event) => localTimes(event.target));
