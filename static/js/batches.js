/**
 * The page of batches: an archive or many pictures that are dropped or chosen are sent at once, with a bar.
 * Without this module the form still works as a plain post.
 */

const form = document.querySelector("[data-batch-drop]");
const texts = form.dataset;
const problem = form.querySelector("[data-batch-problem]");
const upload = form.querySelector("[data-upload]");
const bar = upload.querySelector("progress");
const archiveName = /\.(zip|tar|tgz|txz|gz|xz)$/i;
let isBusy = false;

function complain(text) {
  upload.hidden = true;
  problem.textContent = text;
  problem.hidden = !text;
  isBusy = false;
}

/** The server answers a refusal with the page, which says why. */
function explain(html) {
  const answered = new DOMParser().parseFromString(html, "text/html");
  return answered.querySelector("[data-batch-problem]")?.textContent.trim() || texts.textFailed;
}

function send(field, files) {
  const body = new FormData();
  body.append("csrfmiddlewaretoken", form.querySelector("[name=csrfmiddlewaretoken]").value);
  for (const file of files) body.append(field, file, file.name || "picture");
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
  });
  request.upload.addEventListener("load", () => bar.removeAttribute("value"));
  request.addEventListener("error", () => complain(texts.textOffline));
  request.addEventListener("load", () => {
    if (request.status === 200) window.location.assign(request.responseURL);
    else complain(explain(request.responseText));
  });
  request.open("POST", form.action);
  request.send(body);
}

function take(files) {
  if (!files.length || isBusy) return;
  const isArchive = files.length === 1 && archiveName.test(files[0].name);
  const bytes = [...files].reduce((sum, file) => sum + file.size, 0);
  if (bytes > Number(texts.maxBytes)) return complain(texts.textLarge);
  if (files.length > Number(texts.maxFiles)) return complain(texts.textMany);
  complain("");
  isBusy = true;
  bar.value = 0;
  upload.hidden = false;
  upload.querySelector("[data-upload-name]").textContent = files.length === 1 ? files[0].name : "";
  send(isArchive ? "archive" : "files", files);
}

for (const input of form.querySelectorAll("input[type=file]")) {
  const takeChosen = () => {
    const files = [...input.files];
    input.value = ""; // the same file may be chosen again
    take(files);
  };
  input.addEventListener("change", takeChosen);
  takeChosen(); // before this module was there
}
form.addEventListener("submit", (event) => event.preventDefault());

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
window.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  form.classList.add("is-over");
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) form.classList.remove("is-over");
});
window.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  form.classList.remove("is-over");
  take([...event.dataTransfer.files]);
});
