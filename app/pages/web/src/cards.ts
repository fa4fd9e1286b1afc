// Shows how far a file of cards is while the server makes it. The browser
// itself fetches the file.
import { Words } from "./dom";

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

  const watch = (id: string): void => {
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
        if (p.done >= p.total) return;
      }
      if (Date.now() < until) window.setTimeout(() => void tick(), everyMs);
      else box.hidden = true;
    };
    void tick();
  };

  for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-cards]")) {
    link.addEventListener("click", () => {
      const bytes = crypto.getRandomValues(new Uint8Array(12));
      const id = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
      const url = new URL(link.href);
      url.searchParams.set("import_id", id);
      link.href = url.href;
      watch(id);
    });
  }
}
