// Shows how far a file of cards is while the server makes it, and which parts
// of a division were made. The browser itself fetches the file.
import { Words, randomName } from "./dom";

interface Progress {
  done: number;
  total: number;
}

const everyMs = 500;
const giveUpMs = 60_000; // the server answers within half of it, or not at all

export function cardPrints(): void {
  const box = document.querySelector<HTMLElement>("[data-cards-bar]");
  const bar = box?.querySelector("progress");
  const text = box?.querySelector("p");
  if (!box || !bar || !text) return;
  const words = new Words(JSON.stringify({ working: box.dataset["working"], finished: box.dataset["finished"] }));
  let watched = "";

  const made = parts();
  const watch = (id: string, part: string): void => {
    watched = id;
    box.hidden = false;
    bar.value = 0;
    text.textContent = words.t("working", 0, bar.max);
    const until = Date.now() + giveUpMs;
    const tick = async (): Promise<void> => {
      if (watched !== id) return;
      let p: Progress | undefined;
      try {
        const answer = await fetch(`/api/v1/card-prints/${id}`, { headers: { Accept: "application/json" } });
        if (answer.ok) p = (await answer.json()) as Progress;
      } catch {
        p = undefined; // the count pauses; the download goes on by itself
      }
      if (p && p.total > 0) {
        bar.max = p.total;
        bar.value = p.done;
        text.textContent = p.done >= p.total ? words.t("finished") : words.t("working", p.done, p.total);
        if (p.done >= p.total) {
          made(part);
          return;
        }
      }
      if (Date.now() < until) window.setTimeout(() => void tick(), everyMs);
      else box.hidden = true;
    };
    void tick();
  };

  for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-cards]")) {
    link.addEventListener("click", () => {
      const id = randomName(12);
      const url = new URL(link.href);
      url.searchParams.set("import_id", id);
      link.href = url.href;
      const row = link.closest<HTMLElement>("[data-part]");
      row?.append(box); // where the finger is
      watch(id, row?.dataset["part"] ?? "");
    });
  }
}

interface Made {
  cuts: string;
  parts: string[];
}

function readMade(key: string): Made | null {
  try {
    const x = JSON.parse(localStorage.getItem(key) || "null") as Partial<Made> | null;
    if (typeof x?.cuts === "string" && Array.isArray(x.parts)) return { cuts: x.cuts, parts: x.parts.map(String) };
  } catch {
    // not ours, or storage is off: nothing is known to be made
  }
  return null;
}

/**
 * Ticks the parts that were made, by what is kept on this device for this
 * account and division, and returns what ticks one more. From the first part
 * made on, the page keeps its cuts, so that a print that was stopped goes on.
 */
function parts(): (part: string) => void {
  const text = document.querySelector<HTMLElement>("[data-parts]");
  if (!text) return () => undefined;
  const key = ["happycode-cards", text.dataset["owner"], text.dataset["division"], text.dataset["after"]].join(" ");
  const cuts = text.dataset["parts"] ?? "";
  const words = new Words(JSON.stringify({ made: text.dataset["made"] }));
  const kept = readMade(key);
  const here = new URL(location.href);
  if (kept && kept.cuts !== cuts && !here.searchParams.has("cuts")) {
    here.searchParams.set("division", text.dataset["division"] ?? "");
    here.searchParams.set("cuts", kept.cuts);
    location.replace(here.href);
  }
  const made = new Set(kept?.parts);
  const rows = [...document.querySelectorAll<HTMLElement>("[data-part]")];
  const show = (): void => {
    const ticked = rows.filter((row) => made.has(row.dataset["part"] ?? ""));
    for (const row of ticked) row.querySelector<HTMLElement>("[data-part-made]")!.hidden = false;
    text.textContent = words.t("made", ticked.length, rows.length);
    text.hidden = false;
  };
  show();
  document.querySelector("[data-parts-anew]")?.addEventListener("click", () => {
    try {
      localStorage.removeItem(key);
    } catch {
      // storage is off, so nothing was kept
    }
  });
  return (part) => {
    made.add(part);
    show();
    try {
      localStorage.setItem(key, JSON.stringify({ cuts, parts: [...made] }));
    } catch {
      // storage is off or full: the tick lasts as long as the page
    }
  };
}
