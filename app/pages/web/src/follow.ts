// Keeps a page up to date while it is looked at: the server tells what has
// happened (server-sent events), and the parts of the page marked data-live are
// fetched anew. What somebody is typing into, or has opened, stays as it is
// until they are done. Without this script a reload does the same.

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
  let last = -Infinity;
  let stale = false;
  let given = false;
  let asking = false;

  const say = (key: string): void => {
    if (!told) return;
    told.textContent = told.dataset[key] ?? "";
    told.hidden = false;
  };

  async function refresh(): Promise<void> {
    timer = 0;
    if (document.hidden || asking) return; // stale says that there is something left to do
    asking = true;
    stale = false;
    last = performance.now();
    try {
      const answer = await fetch(window.location.pathname + window.location.search, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 401 || answer.redirected) {
        source?.close(); // signed out, or it is another page by now
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const changed = take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (held) say("hold");
      else if (changed) say(given ? "given" : "changed");
      if (!held) given = false;
    } catch {
      stale = true;
    } finally {
      asking = false;
      if (stale) soon();
    }
  }

  function soon(): void {
    stale = true;
    if (timer === 0) timer = window.setTimeout(() => void refresh(), Math.max(300, last + marks.everyMs - performance.now()));
  }

  function listen(): void {
    source = new EventSource("/api/v1/live"); // it comes back by itself, with the last event it heard
    source.addEventListener("change", (event) => {
      const change = JSON.parse((event as MessageEvent<string>).data) as Change;
      if (!concerns(change, marks)) return;
      if (change.kind === "allocation.promised") given = document.documentElement.dataset["role"] === "resident";
      soon();
    });
    source.addEventListener("reset", soon);
  }

  listen();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && stale) soon();
  });
  // Whoever is done typing gets what was held back.
  for (const kind of ["focusout", "reset", "toggle"]) {
    document.addEventListener(kind, () => { if (held) soon(); }, true);
  }
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    listen();
    soon();
  });
}
