// Keeps a page up to date while it is looked at: the server tells what has
// happened (server-sent events), and the parts of the page marked data-live are
// fetched anew. What somebody is typing into, or has opened, stays as it is
// until they are done. Without this script a reload does the same.
import { address, due, verdict, wait } from "./pace";

interface Change {
  kind?: string;
  resident?: string;
  need?: string;
}

/** What is marked on the page: what it is about, and how often it may be fetched. */
interface Marks {
  of: string; // id of a resident; "": whatever the server tells
  need: string;
  everyMs: number;
}

let held = false; // something was kept because somebody is at it

function isTyped(control: HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement): boolean {
  if (control instanceof HTMLSelectElement) {
    const usual = Math.max(0, [...control.options].findIndex((o) => o.defaultSelected));
    return control.selectedIndex !== usual && control.selectedIndex >= 0;
  }
  if (control instanceof HTMLInputElement) {
    if (control.type === "hidden") return false;
    if (control.type === "file") return (control.files?.length ?? 0) > 0;
    if (control.type === "checkbox" || control.type === "radio") return control.checked !== control.defaultChecked;
  }
  return control.value !== control.defaultValue;
}

/** Whether somebody is at work in an element: the cursor is in it, something was typed, or it was opened. */
function busy(element: Element): boolean {
  const active = document.activeElement;
  if (active && active !== document.body && element.contains(active) && active.matches("input, textarea, select, button, summary, a")) return true;
  if (element.matches("details[open]") || element.querySelector("details[open]")) return true;
  return [...element.querySelectorAll<HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>("input, textarea, select")].some(isTyped);
}

function counterpart(child: Element, at: number, among: Element[]): Element | undefined {
  if (child.id) return among.find((x) => x.id === child.id);
  const other = among[at];
  return other && !other.id && other.tagName === child.tagName ? other : undefined;
}

/** Makes an element what the server says it is now, but for what somebody is at. */
function renew(old: Element, fresh: Element): boolean {
  if (old.isEqualNode(fresh)) return false;
  if (!busy(old)) {
    old.replaceWith(document.importNode(fresh, true));
    return true;
  }
  const wanted = [...fresh.children];
  if (old.matches("form, details") || old.tagName !== fresh.tagName || wanted.length === 0) {
    held = true;
    return false;
  }
  let changed = false;
  const there = [...old.children];
  const kept = new Set<Element>();
  let before: Element | null = null;
  wanted.forEach((child, i) => {
    const same = counterpart(child, i, there);
    if (same) {
      const next: Element | null = same.nextElementSibling;
      kept.add(same);
      if (renew(same, child)) changed = true;
      before = same.isConnected ? same : next ? next.previousElementSibling : old.lastElementChild;
      return;
    }
    const added = document.importNode(child, true);
    if (before) before.after(added);
    else old.prepend(added);
    before = added;
    changed = true;
  });
  for (const child of there) {
    if (kept.has(child) || !child.isConnected) continue;
    if (busy(child)) held = true;
    else {
      child.remove();
      changed = true;
    }
  }
  return changed;
}

/** Puts what a fetched page says into this one; says whether anything is new. */
export function take(fetched: Document): boolean {
  held = false;
  let changed = false;
  for (const part of document.querySelectorAll<HTMLElement>("[data-live]")) {
    const fresh = fetched.querySelector(`[data-live="${part.dataset["live"] ?? ""}"]`);
    if (fresh && renew(part, fresh)) changed = true;
  }
  return changed;
}

/** Whether what has happened concerns the page. */
export function concerns(change: Change, marks: Pick<Marks, "of" | "need">): boolean {
  if (marks.need) return change.need === marks.need;
  return !marks.of || change.resident === marks.of;
}

export function follow(): void {
  const first = document.querySelector<HTMLElement>("[data-live]");
  if (!first || typeof EventSource === "undefined") return;
  const mark = (name: string): string => document.querySelector<HTMLElement>(`[data-${name}]`)?.getAttribute("data-" + name) ?? "";
  const marks: Marks = { of: mark("live-of"), need: mark("live-need"), everyMs: 1000 * Number(mark("live-every") || "1") };
  const told = document.getElementById("live-told");
  let source: EventSource | undefined;
  let timer = 0;
  let back = 0; // timer to listen again
  let last = -Infinity;
  let stale = false;
  let given = false;
  let asking = false;
  let over = false;
  let failures = 0; // of fetches, in a row
  let deaf = 0; // failures to listen, in a row

  const say = (key: string): void => {
    if (!told) return;
    told.textContent = told.dataset[key] ?? "";
    told.hidden = false;
  };

  async function refresh(): Promise<void> {
    timer = 0;
    if (over || document.hidden || asking) return; // stale says that there is something left to do
    asking = true;
    stale = false;
    last = performance.now();
    try {
      const answer = await fetch(address(told?.dataset["path"] ?? "", window.location), { headers: { Accept: "text/html", "X-Follow": "1" }, cache: "no-store" });
      const means = verdict(answer.status, answer.redirected);
      if (means === "over") {
        over = true;
        hush();
        return;
      }
      if (means === "again") throw new Error(String(answer.status));
      const changed = take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      failures = 0;
      if (held) say("hold");
      else if (changed) say(given ? "given" : "changed");
      if (!held) given = false;
    } catch {
      failures++;
      stale = true;
    } finally {
      asking = false;
      if (stale) soon();
    }
  }

  function soon(): void {
    stale = true;
    if (timer === 0 && !over) timer = window.setTimeout(() => void refresh(), due(performance.now() - last, marks.everyMs, failures));
  }

  /**
   * Listens while somebody looks: a browser has few connections to one server,
   * and a tab in the background would keep one from the others.
   */
  function listen(): void {
    window.clearTimeout(back);
    if (over || source || document.hidden) return;
    const mine = (source = new EventSource("/api/v1/live")); // it comes back by itself, with the last event it heard
    mine.addEventListener("open", () => { deaf = 0; });
    mine.addEventListener("change", (event) => {
      const change = JSON.parse((event as MessageEvent<string>).data) as Change;
      if (!concerns(change, marks)) return;
      if (change.kind === "allocation.promised") given = document.documentElement.dataset["role"] === "resident";
      soon();
    });
    mine.addEventListener("reset", soon);
    // But not after an answer that is none: a proxy without a server behind it, a server that stops.
    mine.addEventListener("error", () => {
      if (mine !== source || mine.readyState !== EventSource.CLOSED) return;
      hush();
      back = window.setTimeout(catchUp, wait(++deaf));
    });
  }

  function hush(): void {
    window.clearTimeout(back);
    source?.close();
    source = undefined;
  }

  /** Listens again, and looks at what was missed. */
  function catchUp(): void {
    if (document.hidden || source) return;
    listen();
    soon();
  }

  listen();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hush();
    else catchUp();
  });
  // Whoever is done typing gets what was held back.
  for (const kind of ["focusout", "reset", "toggle"]) {
    document.addEventListener(kind, () => { if (held) soon(); }, true);
  }
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) catchUp();
  });
}
