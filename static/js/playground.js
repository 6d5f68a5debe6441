/** The MixUp and CutMix playground of the Learn page: two pictures, a λ, and what training makes of them. */

import { blend, mixLabels, ownShare, paste, placeBox } from "./mix.js";

const SIZE = 32;
const ANNOUNCE_AFTER_MS = 600; // a slider that is still moving is not read aloud

const language = document.documentElement.lang || "en";
const shares = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const exact = new Intl.NumberFormat(language, { maximumFractionDigits: 4 });
const percents = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const fill = (text, values) => text.replace(/\{(\w+)\}/gu, (_whole, name) => values[name]);

const form = document.querySelector("[data-playground]");
const find = (selector) => form.querySelector(selector);
const pen = (name) => find(`[data-canvas=${name}]`).getContext("2d", { willReadFrequently: true });
const pens = { own: pen("own"), partner: pen("partner"), mixed: pen("mixed") };
/** The file that was chosen last for each picture; null where the supplied one is wanted. */
const chosenFile = { own: null, partner: null };
const hasOwnFile = { own: false, partner: false };

const strip = new Image();
strip.src = form.dataset.strip;

function drawClass(side) {
  if (hasOwnFile[side] || !strip.naturalWidth) return;
  pens[side].drawImage(strip, Number(form.elements[side].value) * SIZE, 0, SIZE, SIZE, 0, 0, SIZE, SIZE);
}

/** Shows a person's own picture as models see one: its centre square, shrunk to 32 pixels. */
async function drawFile(side, file) {
  const problem = find(`[data-picture=${side}] [data-problem]`);
  chosenFile[side] = file;
  try {
    const picture = await createImageBitmap(file);
    const edge = Math.min(picture.width, picture.height);
    const small = await createImageBitmap(picture, (picture.width - edge) / 2, (picture.height - edge) / 2, edge, edge, {
      resizeWidth: SIZE,
      resizeHeight: SIZE,
      resizeQuality: "high",
    });
    if (chosenFile[side] !== file) return; // another choice was made meanwhile
    pens[side].fillStyle = "white"; // below transparent pictures
    pens[side].fillRect(0, 0, SIZE, SIZE);
    pens[side].drawImage(small, 0, 0);
    hasOwnFile[side] = true;
    find(`[data-picture=${side}] [data-supplied]`).hidden = false;
    problem.hidden = true;
  } catch {
    if (chosenFile[side] !== file) return;
    problem.textContent = form.dataset.textUnreadable;
    problem.hidden = false;
  }
  mix();
}

/** Goes back from a person's own picture to the supplied one of the class. */
function takeSupplied(picture) {
  const side = picture.dataset.picture;
  chosenFile[side] = null;
  hasOwnFile[side] = false;
  picture.querySelector("input[type=file]").value = ""; // the same file may be chosen again
  picture.querySelector("[data-problem]").hidden = true;
  form.elements[side].focus(); // the button goes
  picture.querySelector("[data-supplied]").hidden = true;
  pens[side].clearRect(0, 0, SIZE, SIZE);
  drawClass(side);
  mix();
}

function readPixels(side) {
  return pens[side].getImageData(0, 0, SIZE, SIZE).data;
}

function mix() {
  const controls = form.elements;
  const chosen = Number(controls.weight.value);
  const isCutmix = controls.method.value === "cutmix";
  const center = [Number(controls.row.value), Number(controls.column.value)];
  const box = placeBox(chosen, center, SIZE);
  const weight = isCutmix ? ownShare(box, SIZE) : chosen;
  const [own, partner] = [readPixels("own"), readPixels("partner")];
  const pixels = isCutmix ? paste(own, partner, box, SIZE) : blend(own, partner, weight);
  pens.mixed.putImageData(new ImageData(Uint8ClampedArray.from(pixels), SIZE, SIZE), 0, 0);

  find("[data-cutmix]").hidden = !isCutmix;
  find("[data-value=weight]").textContent = shares.format(chosen);
  find("[data-value=row]").textContent = center[0];
  find("[data-value=column]").textContent = center[1];
  find("[data-sum]").textContent = isCutmix ? tellBox(box, weight) : tellBlend(weight);
  showLabel(weight);
}

function tellBlend(weight) {
  return fill(form.dataset.textMixup, {
    weight: shares.format(weight),
    own: percents.format(weight),
    rest: percents.format(1 - weight),
  });
}

function tellBox([top, left, bottom, right], weight) {
  const area = (bottom - top) * (right - left);
  if (area === 0) return form.dataset.textWhole;
  return fill(form.dataset.textCutmix, { top, left, bottom: bottom - 1, right: right - 1, area, weight: exact.format(weight) });
}

function showLabel(weight) {
  const [own, partner] = [Number(form.elements.own.value), Number(form.elements.partner.value)];
  const bars = find("[data-bars]").children;
  const label = mixLabels(own, partner, weight, bars.length);
  const largest = Math.max(...label);
  label.forEach((share, index) => {
    const bar = bars[index];
    bar.classList.toggle("is-first", share === largest);
    bar.classList.toggle("is-second", share > 0 && share < largest);
    bar.querySelector("meter").value = share;
    bar.querySelector(".bar-value").textContent = shares.format(share);
  });
  const name = (side) => form.elements[side].selectedOptions[0].text;
  const text = own === partner ? form.dataset.textOne : form.dataset.textTwo;
  announce(fill(text, { own: shares.format(weight), rest: shares.format(1 - weight), name: name("own"), other: name("partner") }));
}

let announcing;
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => (find("[data-announcement]").textContent = text), ANNOUNCE_AFTER_MS);
}

function listen() {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.type === "file") return;
    drawClass(event.target.name in pens ? event.target.name : "own");
    mix();
  });
  for (const picture of form.querySelectorAll("[data-picture]")) {
    const side = picture.dataset.picture;
    const file = picture.querySelector("input[type=file]");
    file.addEventListener("change", () => file.files[0] && drawFile(side, file.files[0]));
    picture.querySelector("[data-supplied]").addEventListener("click", () => takeSupplied(picture));
    picture.addEventListener("dragover", (event) => event.preventDefault());
    picture.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) drawFile(side, event.dataTransfer.files[0]);
    });
  }
  find("[data-canvas=mixed]").addEventListener("click", (event) => {
    const place = (offset, length) => Math.min(SIZE - 1, Math.max(0, Math.floor((offset / length) * SIZE)));
    form.elements.column.value = place(event.offsetX, event.target.clientWidth);
    form.elements.row.value = place(event.offsetY, event.target.clientHeight);
    mix();
  });
}

try {
  await strip.decode();
} catch {
  find("[data-strip-problem]").hidden = false; // pictures of one's own can be mixed all the same
}
drawClass("own");
drawClass("partner");
listen();
mix();
form.dataset.ready = "";
