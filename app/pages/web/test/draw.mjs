// Draws screen codes as the resident's page does (src/symbol.ts): lines of JSON
// come on the standard input, each a text, how wide it may be in pixels, and
// the file to write, a grey PGM.
import { build } from "esbuild";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const script = await build({
  entryPoints: [fileURLToPath(new URL("../src/symbol.ts", import.meta.url))],
  bundle: true, write: false, format: "esm", platform: "browser", // the same code as in the page
});
const { symbol } = await import("data:text/javascript;base64," + Buffer.from(script.outputFiles[0].contents).toString("base64"));

const shades = { "#000": 0, "#fff": 255 };

let input = "";
for await (const chunk of process.stdin) input += chunk;
for (const { text, room, path } of input.split("\n").filter(Boolean).map((line) => JSON.parse(line))) {
  const picture = symbol(text, room);
  const grey = Buffer.alloc(picture.pixels ** 2, 128);
  picture.paint({
    fillStyle: "",
    fillRect(x, y, w, h) {
      const shade = shades[this.fillStyle];
      if (shade === undefined) throw new Error(`no shade for ${this.fillStyle}`);
      for (let row = y; row < y + h; row++) grey.fill(shade, row * picture.pixels + x, row * picture.pixels + x + w);
    },
  });
  await writeFile(path, Buffer.concat([Buffer.from(`P5 ${picture.pixels} ${picture.pixels} 255\n`), grey]));
}
