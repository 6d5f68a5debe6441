/**
 * Refreshes static/vendor from the packages that package-lock.json pins: `make vendor`, or `npm ci && npm run vendor`.
 *
 * Each file is copied without its sourceMappingURL (the manifest storage of static files refuses a map that is not
 * there), with the package's licence beside it. Of bootstrap-icons only the icons that templates name are kept, in one
 * SVG sprite: `{% icon "upload" %}` anywhere under templates/ is enough to get one.
 */
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vendor = join(root, "static", "vendor");
const modules = join(root, "node_modules");

/** package → [its licence file, {file in the package: file under static/vendor}, the licence's copy unless beside them] */
const packages = {
  bootstrap: [
    "LICENSE",
    {
      "dist/css/bootstrap.min.css": "bootstrap/bootstrap.min.css",
      "dist/js/bootstrap.bundle.min.js": "bootstrap/bootstrap.bundle.min.js",
    },
  ],
  // Bootstrap's bundle contains it.
  "@popperjs/core": ["LICENSE.md", {}, "bootstrap/LICENSE-popper"],
  "htmx.org": ["LICENSE", { "dist/htmx.min.js": "htmx/htmx.min.js" }],
  idiomorph: ["LICENSE", { "dist/idiomorph-ext.min.js": "idiomorph/idiomorph-ext.min.js" }],
  uplot: [
    "LICENSE",
    { "dist/uPlot.iife.min.js": "uplot/uPlot.iife.min.js", "dist/uPlot.min.css": "uplot/uPlot.min.css" },
  ],
  "@fontsource-variable/hanken-grotesk": [
    "LICENSE",
    { "files/hanken-grotesk-latin-wght-normal.woff2": "hanken-grotesk/hanken-grotesk-latin.woff2" },
  ],
};

const withoutSourceMap = (text) => text.replace(/\n?(\/\/# sourceMappingURL=.*|\/\*# sourceMappingURL=.*?\*\/)\s*$/u, "\n");

async function copy(from, to) {
  await mkdir(dirname(to), { recursive: true });
  const isText = /\.(css|js)$/u.test(from);
  const content = await readFile(from, isText ? "utf8" : undefined);
  await writeFile(to, isText ? withoutSourceMap(content) : content);
}

async function* templates(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* templates(path);
    else if (entry.name.endsWith(".html")) yield path;
  }
}

async function iconNames() {
  const names = new Set();
  for await (const path of templates(join(root, "templates"))) {
    const text = await readFile(path, "utf8");
    for (const [tag] of text.matchAll(/\{%\s*icon\s[^%]*%\}/gu)) {
      for (const [, name] of tag.matchAll(/"([a-z0-9-]+)"/gu)) names.add(name);
    }
  }
  return [...names].sort();
}

async function sprite() {
  const symbols = await Promise.all(
    (await iconNames()).map(async (name) => {
      const svg = await readFile(join(modules, "bootstrap-icons", "icons", `${name}.svg`), "utf8");
      const [, viewBox] = svg.match(/viewBox="([^"]+)"/u);
      const body = svg.slice(svg.indexOf(">") + 1, svg.lastIndexOf("</svg>")).replace(/\s*\n\s*/gu, "");
      return `<symbol id="${name}" viewBox="${viewBox}">${body}</symbol>`;
    }),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" fill="currentColor">\n${symbols.join("\n")}\n</svg>\n`;
}

const versions = {};
await rm(vendor, { recursive: true, force: true });
for (const [name, [licence, files, licenceCopy]] of Object.entries(packages)) {
  const folder = join(modules, name);
  versions[name] = JSON.parse(await readFile(join(folder, "package.json"), "utf8")).version;
  for (const [from, to] of Object.entries(files)) await copy(join(folder, from), join(vendor, to));
  await copy(join(folder, licence), join(vendor, licenceCopy ?? join(dirname(Object.values(files)[0]), "LICENSE")));
}
const icons = join(modules, "bootstrap-icons");
versions["bootstrap-icons"] = JSON.parse(await readFile(join(icons, "package.json"), "utf8")).version;
await mkdir(join(vendor, "icons"), { recursive: true });
await writeFile(join(vendor, "icons", "sprite.svg"), await sprite());
await copy(join(icons, "LICENSE"), join(vendor, "icons", "LICENSE"));
await writeFile(join(vendor, "versions.json"), `${JSON.stringify(versions, null, 2)}\n`);
