// The codes that a phone keeps, so that a page opened again without a network
// still shows one. They are good for minutes only, and go when somebody signs
// in or out: from then on this page, and each other one that is open, keeps none.
import { type Bundle, type Kept, bundleOf } from "./clock";

const keptKey = "happycode.codes";
const leftKey = "happycode.left"; // set for a moment, for other windows to hear

let over = false; // whoever was here has left

export function keep(bundle: Bundle, clock: Kept): void {
  if (over) return;
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

/** Somebody signs in or out: what was kept goes, and other windows are told. */
export function leave(): void {
  over = true;
  forgetCodes();
  try {
    localStorage.setItem(leftKey, "1");
    localStorage.removeItem(leftKey);
  } catch {
    // Other windows learn it when they next ask the server.
  }
}

/** Whether whoever was here has left: this page shows, asks for and keeps nothing any more. */
export function left(): boolean {
  return over;
}

/** Calls then when somebody signs in or out in another window. */
export function whenLeft(then: () => void): void {
  window.addEventListener("storage", (event) => {
    if (event.key !== leftKey || event.newValue === null) return;
    over = true;
    forgetCodes(); // this window may have kept them anew meanwhile
    then();
  });
}
