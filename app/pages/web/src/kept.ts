// The codes that a phone keeps, so that a page opened again without a network
// still shows one. They are good for minutes only, and go when somebody signs
// in or out.
import { type Bundle, type Kept, bundleOf } from "./clock";

export const keptKey = "happycode.codes";

export function keep(bundle: Bundle, clock: Kept): void {
  try {
    localStorage.setItem(keptKey, JSON.stringify({ bundle, clock }));
  } catch {
    // Without storage the page lives on what it has in memory.
  }
}

export function kept(): { bundle: Bundle; clock: Kept } | undefined {
  try {
    const x = JSON.parse(localStorage.getItem(keptKey) || "null") as { bundle?: unknown; clock?: Partial<Kept> } | null;
    const bundle = bundleOf(x?.bundle);
    const [ahead, last] = [x?.clock?.ahead_ms, x?.clock?.last_ms];
    if (!bundle || typeof ahead !== "number" || typeof last !== "number") return undefined;
    return { bundle, clock: { ahead_ms: ahead, last_ms: last } };
  } catch {
    return undefined;
  }
}

export function forgetCodes(): void {
  try {
    localStorage.removeItem(keptKey);
  } catch {
    // Nothing was kept.
  }
}
