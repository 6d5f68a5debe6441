/**
 * What a part of the page that refreshes itself leaves as it is. Idiomorph changes only what differs from the server's
 * answer, so that focus, selected text and scrolled tables stay; these differ because somebody or a script changed them.
 */

const isTicked = (element) => element instanceof HTMLInputElement && element.type === "checkbox";
const isSameMoment = (element, fresh) => element instanceof HTMLTimeElement && element.dateTime === fresh.dateTime;

Object.assign(window.Idiomorph.defaults.callbacks, {
  beforeNodeMorphed: (element, fresh) => !isTicked(element) && !isSameMoment(element, fresh),
  beforeAttributeUpdated: (name, element) => !(name === "tabindex" && element.matches(".table-wrap")), // `site.js` has set it
});
