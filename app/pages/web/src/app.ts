// What makes ordinary pages more comfortable. Every page works without it.
import { cardPrints } from "./cards";
import { el, number, randomName, yuan } from "./dom";
import { follow } from "./follow";
import { mindList } from "./offline/leaving";
import { places } from "./places";
import { series } from "./series";
import { leave } from "./kept";
import { rules } from "./rule";

function confirmations(): void {
  document.addEventListener("click", (event) => {
    const button = (event.target as Element | null)?.closest<HTMLElement>("[data-confirm]");
    if (button && !window.confirm(button.dataset["confirm"])) event.preventDefault();
  });
}

/** A second press while a form is on its way does nothing. */
function onceOnly(): void {
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset["sent"]) {
      event.preventDefault();
      return;
    }
    form.dataset["sent"] = "1";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll<HTMLFormElement>("form[data-sent]")) delete form.dataset["sent"];
  });
}

/** Narrows a long select by what is typed above it. */
function filteredSelects(): void {
  for (const select of document.querySelectorAll<HTMLSelectElement>("select[data-filter]")) {
    const label = select.dataset["filter"] ?? "";
    const input = el("input", { type: "search", class: "filter", "aria-label": label, placeholder: label, autocomplete: "off" });
    const groups = [...select.querySelectorAll("optgroup")].map((group) => ({ group, options: [...group.children] as HTMLOptionElement[] }));
    input.addEventListener("input", () => {
      const wanted = input.value.trim();
      const first = select.options[0];
      const chosen = select.value;
      select.replaceChildren(...(first ? [first] : []));
      const found: HTMLOptionElement[] = [];
      for (const { group, options } of groups) {
        const hits = group.label.includes(wanted) ? options : options.filter((o) => o.text.includes(wanted));
        if (hits.length === 0) continue;
        found.push(...hits);
        group.replaceChildren(...hits);
        select.append(group);
      }
      select.value = found.some((o) => o.value === chosen) ? chosen : found.length === 1 && found[0] ? found[0].value : "";
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    select.before(input);
  }
}

/** Narrows a tree of checkboxes. */
function filteredTrees(): void {
  for (const tree of document.querySelectorAll<HTMLElement>("[data-tree]")) {
    const label = tree.dataset["tree"] ?? "";
    const input = el("input", { type: "search", class: "filter", "aria-label": label, placeholder: label, autocomplete: "off" });
    input.addEventListener("input", () => {
      const wanted = input.value.trim();
      for (const county of tree.querySelectorAll<HTMLDetailsElement>("details")) {
        const whole = county.querySelector("summary")?.textContent?.includes(wanted) ?? false;
        let hits = 0;
        for (const choice of county.querySelectorAll<HTMLElement>(".choices .choice")) {
          const hit = whole || (choice.textContent ?? "").includes(wanted);
          choice.hidden = !hit;
          if (hit) hits++;
        }
        county.hidden = hits === 0;
        if (wanted) county.open = hits > 0;
      }
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    tree.before(input);
  }
}

function lots(): void {
  const box = document.querySelector<HTMLElement>("[data-lots]");
  const add = document.querySelector<HTMLButtonElement>("[data-lot-add]");
  if (!box || !add) return;
  const rows = [...box.children] as HTMLElement[];
  let last = 0; // rows beyond the last filled one are kept back until asked for
  rows.forEach((row, i) => {
    const filled = [...row.querySelectorAll("input")].some((input) => input.value !== "");
    if (filled || row.querySelector(".error")) last = i;
  });
  for (const row of rows.slice(last + 1)) row.remove();
  add.hidden = false;
  add.addEventListener("click", () => {
    const previous = box.lastElementChild as HTMLElement;
    const row = previous.cloneNode(true) as HTMLElement;
    const n = box.children.length;
    row.querySelector(".error")?.remove();
    const mark = row.querySelector("[data-lot-no]");
    if (mark) mark.textContent = String(n + 1);
    for (const label of row.querySelectorAll("label")) {
      const input = row.querySelector<HTMLInputElement>("#" + label.htmlFor);
      const id = label.htmlFor.replace(/\d+$/, String(n));
      label.htmlFor = id;
      if (!input) continue;
      input.id = id;
      if (input.name === "lot_from") input.value = previous.querySelector<HTMLInputElement>('[name="lot_until"]')?.value ?? "";
      if (input.name === "lot_until") input.value = "";
    }
    box.append(row);
    row.querySelector("input")?.focus();
  });
}

/** Rows for what is kept: added and taken away here; without this script the server adds them. */
function keptRows(): void {
  const box = document.querySelector<HTMLElement>("[data-kept-rows]");
  const add = document.querySelector<HTMLButtonElement>("[data-kept-add]");
  const first = box?.firstElementChild;
  if (!box || !add || !first) return;
  const most = 20;
  const fields = (row: Element): (HTMLInputElement | HTMLSelectElement)[] => [...row.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input, select")];
  const blank = first.cloneNode(true) as HTMLElement;
  blank.querySelector(".error")?.remove();
  for (const field of fields(blank)) field.value = "";
  let made = box.children.length;
  const count = (): void => {
    [...box.children].forEach((row, i) => {
      const mark = row.querySelector("[data-kept-no]");
      if (mark) mark.textContent = String(i + 1);
    });
    add.hidden = box.children.length >= most;
  };
  const ready = (row: Element): void => {
    const remove = row.querySelector<HTMLButtonElement>("[data-kept-remove]");
    if (!remove) return;
    remove.hidden = false;
    remove.addEventListener("click", () => {
      row.remove();
      count();
      add.focus();
    });
  };
  for (const row of [...box.children]) {
    if (fields(row).every((field) => field.value === "") && !row.querySelector(".error")) row.remove();
    else ready(row);
  }
  count();
  add.addEventListener("click", (event) => {
    event.preventDefault();
    const row = blank.cloneNode(true) as HTMLElement;
    const n = made++;
    for (const label of row.querySelectorAll("label")) {
      const field = row.querySelector("#" + label.htmlFor);
      label.htmlFor = label.htmlFor.replace(/\d+$/, String(n));
      if (field) field.id = label.htmlFor;
    }
    box.append(row);
    ready(row);
    count();
    fields(row)[0]?.focus();
  });
}

function printing(): void {
  const button = document.querySelector<HTMLButtonElement>("[data-print]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

function copying(): void {
  const button = document.querySelector<HTMLButtonElement>("[data-copy]");
  const source = document.getElementById(button?.dataset["copy"] ?? "");
  if (!button || !source || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    void navigator.clipboard.writeText(source.textContent ?? "").then(() => {
      button.textContent = button.dataset["copied"] ?? "";
    });
  });
}

interface ShareStock {
  share: string;
  qty_units: number;
  free_units: number;
  held_units: number;
  promised_units: number;
  handed_over_units: number;
  expired_units: number;
  withdrawn_units: number;
  kept: number;
  moved_out_units: number;
}

/** Asks for the stock of an offer every three seconds while it is looked at. */
function liveStock(): void {
  const box = document.querySelector<HTMLElement>("[data-stock]");
  const url = box?.dataset["stock"];
  if (!box || !url) return;
  const state = document.querySelector<HTMLElement>("[data-live-state]");
  const say = box.dataset["money"] === "true" ? yuan : number;
  const show = (share: ShareStock): boolean => {
    const place = box.querySelector<HTMLElement>(`[data-share="${CSS.escape(share.share)}"]`);
    // A county whose part is nothing is not shown until something comes.
    if (!place) return share.qty_units === 0 && share.moved_out_units === 0;
    const parts: [string, number][] = [
      ["free", share.free_units],
      ["held", share.held_units],
      ["promised", share.promised_units],
      ["handed_over", share.handed_over_units],
      ["gone", share.expired_units + share.withdrawn_units],
    ];
    let x = 0;
    for (const [name, units] of parts) {
      const width = (100 * units) / Math.max(share.qty_units, 1);
      const bar = place.querySelector(`[data-bar="${name}"]`);
      bar?.setAttribute("x", x.toFixed(3));
      bar?.setAttribute("width", width.toFixed(3));
      x += width;
      const count = place.querySelector(`[data-count="${name}"]`);
      if (count) count.textContent = say(units);
    }
    const total = place.querySelector('[data-count="qty"]');
    if (total) total.textContent = say(share.qty_units);
    return true;
  };
  const keptParts = (shares: ShareStock[]): void => {
    for (const part of document.querySelectorAll<HTMLElement>("[data-kept], [data-kept-of]")) {
      const given = part.dataset["kept"];
      const own = shares.filter((share) => String(share.kept) === (given ?? part.dataset["keptOf"]));
      part.textContent = say(own.reduce((sum, s) => sum + (given ? s.promised_units + s.handed_over_units : s.qty_units), 0));
    }
  };
  const tick = async (): Promise<void> => {
    if (!document.hidden) {
      let fine = false;
      try {
        const answer = await fetch(url, { headers: { Accept: "application/json" } });
        if (answer.ok) {
          const body = (await answer.json()) as ShareStock[] | { items?: ShareStock[]; shares?: ShareStock[] };
          const shares = Array.isArray(body) ? body : (body.items ?? body.shares ?? []);
          const known = shares.map(show);
          keptParts(shares);
          if (known.includes(false)) window.location.reload();
          fine = true;
        }
      } catch {
        fine = false; // offline: the figures stay as they are, and the mark goes
      }
      if (state) state.hidden = !fine;
    }
    window.setTimeout(() => void tick(), 3000);
  };
  void tick();
}

interface Progress {
  done: number;
  total: number;
}

/** Sends a spreadsheet and shows how far the import is. */
function importing(): void {
  const form = document.querySelector<HTMLFormElement>("form[data-import]");
  const box = form?.querySelector<HTMLElement>(".bar-box");
  const bar = form?.querySelector("progress");
  const text = form?.querySelector<HTMLElement>(".bar-box p");
  const outcome = document.getElementById("outcome");
  const button = form?.querySelector("button");
  if (!form || !box || !bar || !text || !outcome || !button) return;
  const working = form.dataset["working"] ?? "";
  const broken = form.dataset["broken"] ?? "";

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    box.hidden = false;
    outcome.replaceChildren();
    bar.removeAttribute("value");
    text.textContent = form.dataset["sending"] ?? "";

    const id = randomName(16);
    const body = new FormData(form);
    body.append("import_id", id);
    let over = false;
    const look = async (): Promise<void> => {
      try {
        const answer = await fetch("/api/v1/imports/" + id, { headers: { Accept: "application/json" } });
        if (answer.ok && !over) {
          const step = (await answer.json()) as Progress;
          if (step.total > 0) {
            bar.value = (100 * step.done) / step.total;
            text.textContent = `${working} ${number(step.done)} / ${number(step.total)}`;
          }
        }
      } catch {
        // The bar stands still until the connection is back.
      }
      if (!over) window.setTimeout(() => void look(), 500);
    };

    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.upload.addEventListener("progress", (sent) => {
      if (sent.lengthComputable) bar.value = (100 * sent.loaded) / sent.total;
    });
    request.upload.addEventListener("load", () => {
      bar.removeAttribute("value");
      text.textContent = working;
      void look();
    });
    request.addEventListener("loadend", () => {
      over = true;
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const found = page.querySelector("#outcome > *") ?? page.querySelector("form .failure, form .error, .error-card .lead");
      outcome.replaceChildren(
        found?.matches("section, .failure") ? document.importNode(found, true) : el("p", { class: "failure", role: "alert" }, found?.textContent?.trim() || broken),
      );
      button.disabled = false;
      box.hidden = true;
      outcome.scrollIntoView({ block: "center" });
    });
    request.send(body);
  });
}

/**
 * Those who scan or show a code get a worker that starts their pages without a
 * network. Browsers allow it over HTTPS only.
 */
function withoutNetwork(): void {
  const { role } = document.documentElement.dataset;
  if (!role || role === "provider" || !navigator.serviceWorker) return;
  const lang = document.documentElement.lang;
  void navigator.serviceWorker
    .register("/sw.js")
    .then(() => navigator.serviceWorker.ready)
    .then((registration) => registration.active?.postMessage({ role, lang }))
    .catch(() => undefined); // the pages work without it
}

/** Whoever signs out leaves nothing behind in this window, and finds no codes of somebody before on signing in. */
function forgetting(): void {
  // A window that read the codes anew before the server knew is told again.
  if (document.querySelector('form[action="/signin"]')) leave();
  document.addEventListener("submit", (event) => {
    const action = (event.target as HTMLFormElement).getAttribute("action");
    if (action === "/signin" || action === "/signout") leave();
    if (action !== "/signout") return;
    try {
      sessionStorage.clear();
    } catch {
      // A browser that keeps nothing.
    }
  });
}

/** An error that the server found is where the person should look first. */
function firstError(): void {
  document.querySelector<HTMLElement>(".bad input, .bad select, .bad textarea, [aria-invalid]")?.focus();
}

confirmations();
places();
filteredSelects();
filteredTrees();
lots();
keptRows();
series();
rules();
printing();
copying();
liveStock();
importing();
cardPrints();
onceOnly();
forgetting();
withoutNetwork();
firstError();
follow();
void mindList();

