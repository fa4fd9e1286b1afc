// The picture of a screen code: modules of whole pixels, black on white, with
// the margin that ISO/IEC 18004 asks for.
import { correction, generate } from "lean-qr";

const quiet = 4; // modules of margin

/** What a picture is painted on; a canvas's context is one. */
export type Brush = Pick<CanvasRenderingContext2D, "fillStyle" | "fillRect">;

/** A picture of pixels × pixels. */
export interface Picture {
  pixels: number;
  paint(on: Brush): void;
}

/** Draws a text as wide as there is room; room is in device pixels. */
export function symbol(text: string, room: number): Picture {
  const code = generate(text, { minCorrectionLevel: correction.M });
  const modules = code.size + 2 * quiet;
  const scale = Math.max(1, Math.floor(room / modules));
  const pixels = modules * scale;
  return {
    pixels,
    paint(on) {
      on.fillStyle = "#fff";
      on.fillRect(0, 0, pixels, pixels);
      on.fillStyle = "#000";
      for (let y = 0; y < code.size; y++) {
        for (let x = 0; x < code.size; x++) {
          if (code.get(x, y)) on.fillRect((x + quiet) * scale, (y + quiet) * scale, scale, scale);
        }
      }
    },
  };
}
