// Reads pictures with zxing-wasm, the reader of the scan page: paths come on
// the standard input, one a line; for each a line of JSON goes out with the
// texts found, in the same order.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";

const wasmBinary = await readFile(fileURLToPath(import.meta.resolve("zxing-wasm/reader/zxing_reader.wasm")));
await prepareZXingModule({ overrides: { wasmBinary: wasmBinary.buffer }, fireImmediately: true });

let input = "";
for await (const chunk of process.stdin) input += chunk;
let out = "";
for (const path of input.split("\n").filter(Boolean)) {
  const found = await readBarcodes(await readFile(path), { formats: ["QRCode"], maxNumberOfSymbols: 255 });
  out += JSON.stringify(found.filter((x) => x.isValid).map((x) => x.text)) + "\n";
}
process.stdout.write(out);
