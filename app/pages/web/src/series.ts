// What a series makes, said while it is typed. The preview says it too, without
// this script.
import { post } from "./api";
import { number, Words, yuan } from "./dom";

interface Lot {
  qty_units: number;
  from_ms: number;
  until_ms: number;
}

interface Made {
  lots: Lot[];
  count: number;
  total_units: number;
}

const shown = 3; // lots named at once
const pause = 400; // ms after the last key

/** A lot's day and times in China: "周一 12-07 11:00–13:00". */
function said(lot: Lot, words: Words): string {
  const at = (ms: number): Date => new Date(ms + 8 * 3600_000);
  const two = (n: number): string => `${n}`.padStart(2, "0");
  const day = (d: Date): string => `${words.t("weekday." + (((d.getUTCDay() + 6) % 7) + 1))} ${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
  const clock = (d: Date): string => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  const [from, until] = [at(lot.from_ms), at(lot.until_ms)];
  const same = from.toISOString().slice(0, 10) === until.toISOString().slice(0, 10);
  return `${day(from)} ${clock(from)}–${same ? "" : day(until) + " "}${clock(until)}`;
}

function watch(box: HTMLElement, form: HTMLFormElement): void {
  const made = box.querySelector<HTMLElement>("[data-made]");
  const words = new Words(form.dataset["words"]);
  if (!made) return;
  const prefix = `s${box.dataset["series"] ?? "0"}_`;
  const field = (name: string): string => form.querySelector<HTMLInputElement | HTMLSelectElement>(`[name="${prefix}${name}"]`)?.value.trim() ?? "";
  const money = form.dataset["money"] === "true";
  const parts = (): void => {
    const monthly = field("every") === "month";
    const show = (selector: string, on: boolean): void => {
      const part = box.querySelector<HTMLElement>(selector);
      if (part) part.hidden = !on;
    };
    show("[data-weekly]", !monthly);
    show("[data-monthly]", monthly);
  };
  let asked = 0;
  let timer = 0;
  const ask = async (): Promise<void> => {
    const mine = ++asked;
    const monthly = field("every") === "month";
    const workers = Number(field("workers")) || 0;
    const unlimited = form.querySelector<HTMLInputElement>('[name="unlimited"]')?.checked ?? false;
    const qty = Math.round((Number(field("qty")) || 0) * (money ? 100 : 1));
    made.hidden = true;
    if (!field("from") || !field("to") || (!qty && !workers && !unlimited)) return;
    try {
      const answer = await post<Made>("/api/v1/series", {
        unlimited,
        series: [
          {
            qty_units: workers ? 0 : qty,
            workers,
            unit_minutes: Number(field("unit_minutes")) || 0,
            slot_minutes: Number(field("slot_minutes")) || 0,
            every: field("every"),
            weekdays: monthly ? [] : [...box.querySelectorAll<HTMLInputElement>(`[name="${prefix}weekday"]:checked`)].map((d) => Number(d.value)),
            day: monthly ? Number(field("day")) || 0 : 0,
            days: Number(field("days")) || 0,
            from: field("from"),
            to: field("to"),
            start: field("start"),
            end: field("end"),
            skip: field("skip").split(/[\s,，、;；]+/).filter(Boolean),
          },
        ],
      });
      if (mine !== asked) return;
      const total = money ? yuan(answer.total_units) : number(answer.total_units);
      const head = unlimited ? words.t("series.made_unlimited", answer.count) : words.t("series.made", answer.count, total);
      const some = answer.lots.slice(0, shown).map((lot) => said(lot, words));
      made.textContent = head + some.join(words.t("list.comma")) + (answer.count > shown ? words.t("series.made_more") : "");
    } catch {
      return; // what is wrong the preview says, at its field
    }
    made.hidden = false;
  };
  const soon = (): void => {
    parts();
    window.clearTimeout(timer);
    timer = window.setTimeout(() => void ask(), pause);
  };
  form.addEventListener("input", soon);
  parts();
  void ask();
}

/** Says below each series what it makes, and shows only the fields that its rhythm needs. */
export function series(): void {
  for (const box of document.querySelectorAll<HTMLElement>("[data-series]")) {
    const form = box.closest("form");
    if (form) watch(box, form);
  }
}
