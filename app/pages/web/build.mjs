// Builds the styles and scripts into ../dist: names carry a hash of the
// content, manifest.json maps source names to them, and each file has a
// compressed copy beside it.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "..", "dist");

const files = new Map(); // source name → [built name, content]

/** Bundles entry points; define puts constants in. */
async function bundle(entryPoints, define = {}) {
  const out = await build({
    absWorkingDir: here,
    entryPoints,
    define,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2019", "chrome78"], // old WeChat on Android; newer syntax is written out
    supported: { bigint: true, "import-meta": true, "dynamic-import": true }, // which these have
    charset: "utf8",
    legalComments: "none",
    outdir: dist,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    splitting: true, // what is imported dynamically is loaded only when needed
    write: false,
    logLevel: "warning",
  });
  for (const file of out.outputFiles) {
    const built = basename(file.path);
    let name = built.replace(/-[A-Z0-9]{8}(\.[a-z]+)$/, "$1");
    if (files.has(name)) name = built; // parts that several scripts share are all called chunk
    files.set(name, [built, Buffer.from(file.contents)]);
  }
}

for (const path of ["src/icon.svg", "src/icon-192.png", "src/icon-512.png", "src/icon-mask-512.png", "node_modules/zxing-wasm/dist/reader/zxing_reader.wasm"]) {
  const content = await readFile(join(here, path));
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const ext = extname(path);
  files.set(basename(path), [`${basename(path, ext)}-${hash}${ext}`, content]);
}
// The decoder comes first: the scripts that load it hold its built name.
await bundle(["src/decoder.ts"]);
await bundle(["src/app.ts", "src/scan.ts", "src/code.ts", "src/offline.ts", "src/live.ts", "src/carer.ts", "src/token.ts", "src/counter.ts", "src/styles.css", "src/sheets.css"], { DECODER: JSON.stringify(files.get("decoder.js")[0]) });

// What the browser installs, and the service worker with all that it keeps.
const url = (name) => "/assets/" + files.get(name)[0];
const icon = (name, size, purpose) => ({ src: url(name), sizes: `${size}x${size}`, type: "image/png", purpose });
files.set("app.webmanifest", [
  "app.webmanifest",
  Buffer.from(
    JSON.stringify({
      id: "/start",
      name: "幸福码 Happiness Code",
      short_name: "幸福码",
      description: "扫码识别、匹配、交付，网络不通也能用。Scan, match and hand over aid, also without a network.",
      lang: "zh-CN",
      start_url: "/start",
      scope: "/",
      display: "standalone",
      background_color: "#fbf6ee",
      theme_color: "#fbf6ee",
      icons: [icon("icon-192.png", 192, "any"), icon("icon-512.png", 512, "any"), icon("icon-mask-512.png", 512, "maskable")],
    }),
  ),
]);
const decoder = ["decoder.js", "zxing_reader.wasm"];
const assets = [...files.keys()].filter((name) => /\.(js|css|svg|png)$/.test(name) && !decoder.includes(name)).map(url);
const content = createHash("sha256");
for (const [name, [built, bytes]] of [...files].sort()) content.update(`${name} ${built} ${bytes.length}\n`).update(bytes);
await bundle(["src/sw.ts"], {
  VERSION: JSON.stringify(content.digest("hex").slice(0, 12)),
  ASSETS: JSON.stringify(assets.sort()),
  DECODER_ASSETS: JSON.stringify(decoder.map(url)),
});

await mkdir(dist, { recursive: true });
for (const old of await readdir(dist)) {
  if (old !== ".keep") await rm(join(dist, old));
}
const manifest = {};
for (const [name, [built, content]] of [...files].sort()) {
  manifest[name] = built;
  await writeFile(join(dist, built), content);
  if (!built.endsWith(".png")) await writeFile(join(dist, built + ".gz"), gzipSync(content, { level: 9 }));
}
await writeFile(join(dist, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");
