// Finds a QR code in a picture with zxing-wasm. It runs as a worker, or, where
// that does not work, as a module that the page loads for itself.
import { prepareZXingModule, readBarcodes, type ReaderOptions } from "zxing-wasm/reader";
import type { Answer, Question } from "./reader";

const quick: ReaderOptions = { formats: ["QRCode"], tryHarder: false, tryRotate: false, tryInvert: false, tryDownscale: false, maxNumberOfSymbols: 1 };
const thoroughly: ReaderOptions = { ...quick, tryHarder: true, tryRotate: true, tryDownscale: true };

let loaded = "";

/**
 * The text of the code in a picture, undefined if there is none. thorough
 * takes some times as long and finds what is small, blurred or stained.
 * Throws if the decoder cannot be loaded.
 */
export async function decode(picture: ImageData, wasm: string, thorough: boolean): Promise<string | undefined> {
  if (loaded !== wasm) {
    await prepareZXingModule({ overrides: { locateFile: (): string => wasm }, fireImmediately: true });
    loaded = wasm;
  }
  const found = await readBarcodes(picture, thorough ? thoroughly : quick);
  return found.find((code) => code.isValid && code.text)?.text;
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = (event: MessageEvent<Question>): void => {
    const { id, wasm, picture, thorough } = event.data;
    decode(picture, wasm, thorough).then(
      (text) => self.postMessage({ id, text } satisfies Answer),
      (error: unknown) => self.postMessage({ id, error: String(error) } satisfies Answer),
    );
  };
}
