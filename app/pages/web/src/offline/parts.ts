// Pieces of the page, in its language.
import { Words, el, number, when, yuan } from "../dom";
import type { Item, Text } from "./types";

interface Kinds {
  categories: Record<string, { name: string; unit: string; money: boolean }>;
  groups: Record<string, string>;
}

export class Parts {
  readonly t: (key: string, ...args: (string | number)[]) => string;
  readonly lang: string;
  private readonly kinds: Kinds;

  constructor(root: HTMLElement) {
    const words = new Words(root.dataset["words"]);
    this.t = words.t.bind(words);
    this.lang = root.dataset["lang"] ?? "zh";
    this.kinds = JSON.parse(root.dataset["categories"] || '{"categories":{},"groups":{}}') as Kinds;
  }

  say(text: Text): string {
    return (this.lang === "en" ? text.en : text.zh) || text.zh || text.en;
  }

  reason(text: Text | undefined): string {
    return text ? this.say(text) : "";
  }

  title(item: { title_zh: string; title_en: string }): string {
    return this.say({ zh: item.title_zh, en: item.title_en });
  }

  group(id: string): string {
    return this.kinds.groups[id] ?? id;
  }

  category(id: string): string {
    return this.kinds.categories[id]?.name ?? id;
  }

  amount(item: Pick<Item, "category" | "unit">, units: number): string {
    const kind = this.kinds.categories[item.category] ?? { name: "", unit: "", money: false };
    if (kind.money) return yuan(units);
    let unit = this.lang === "zh" && item.unit ? item.unit : kind.unit || item.unit;
    if (this.lang === "en" && units !== 1 && unit === kind.unit && unit && !unit.endsWith("s")) unit += "s";
    return number(units) + (unit ? " " + unit : "");
  }

  when(ms: number): string {
    return when(ms, this.lang);
  }

  /** The time of day in China. */
  clock(ms: number): string {
    return when(ms, this.lang).slice(-5);
  }

  /** How long there is to go: days, hours or minutes, whichever says enough. */
  left(ms: number): string {
    const minutes = Math.max(0, Math.ceil(ms / 60_000));
    if (minutes >= 48 * 60) return this.t("offline.days", Math.floor(minutes / 1440));
    if (minutes >= 120) return this.t("offline.hours", Math.floor(minutes / 60));
    return this.t("offline.minutes", minutes);
  }

  button(key: string, kind: string, press: () => void, attributes: Record<string, string> = {}): HTMLButtonElement {
    const node = el("button", { type: "button", class: ("button " + kind).trim(), ...attributes }, this.t(key));
    node.addEventListener("click", press);
    return node;
  }

  tag(text: string, kind = "tag"): HTMLElement {
    return el("span", { class: kind }, text);
  }

  facts(...pairs: [key: string, text: string][]): HTMLElement | null {
    const full = pairs.filter(([, text]) => text !== "");
    if (full.length === 0) return null;
    return el("dl", { class: "facts" }, ...full.map(([key, text]) => el("div", {}, el("dt", {}, this.t(key)), el("dd", {}, text))));
  }

  field(id: string, key: string, control: HTMLElement, hint = ""): HTMLElement {
    control.id = id;
    if (hint) control.setAttribute("aria-describedby", id + "-hint");
    return el("div", { class: "field" }, el("label", { for: id }, this.t(key)), hint ? el("p", { class: "hint", id: id + "-hint" }, hint) : null, control);
  }

  /** A box for six digits that nobody reads over one's shoulder. */
  digits(max = "6"): HTMLInputElement {
    return el("input", { type: "password", inputmode: "numeric", pattern: "[0-9]*", maxlength: max, autocomplete: "off", required: "" });
  }

  failure(text: string): HTMLElement {
    return el("p", { class: "failure", role: "alert" }, text);
  }

  busy(text: string): HTMLElement {
    return el("div", { class: "card working", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), el("span", {}, text));
  }
}
