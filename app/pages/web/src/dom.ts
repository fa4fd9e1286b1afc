// Small pieces that all scripts share.

type Child = Node | string | null | undefined | false;

/** Makes an element. Text goes in as text, never as markup. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  for (const child of children) if (child) node.append(child);
  return node;
}

/** The element with this id, which the page must have. */
export function byID<T extends HTMLElement>(id: string): T {
  const node = document.getElementById(id);
  if (!node) throw new Error(`no #${id}`);
  return node as T;
}

/** A name that nobody else has, of so many random bytes, in hexadecimal. */
export function randomName(bytes: number): string {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Texts of the catalogue that the page gave to the script. */
export class Words {
  private readonly words: Record<string, string>;
  constructor(json: string | undefined) {
    this.words = JSON.parse(json || "{}") as Record<string, string>;
  }
  /** The text of a key, with each %s and %d replaced in turn. */
  t(key: string, ...args: (string | number)[]): string {
    let i = 0;
    return (this.words[key] ?? key).replace(/%[sd]/g, () => String(args[i++] ?? ""));
  }
}

export function number(n: number): string {
  return n.toLocaleString("en-US");
}

export function yuan(fen: number): string {
  return "¥" + (fen / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** A time in China, as the pages write it; "" for 0. */
export function when(ms: number, lang: string, withTime = true): string {
  if (!ms) return "";
  const china = new Date(ms + 8 * 3600_000);
  const [y, m, d] = [china.getUTCFullYear(), china.getUTCMonth(), china.getUTCDate()];
  const clock = `${china.getUTCHours()}`.padStart(2, "0") + ":" + `${china.getUTCMinutes()}`.padStart(2, "0");
  const month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][m];
  const day = lang === "en" ? `${d} ${month} ${y}` : `${y}年${m + 1}月${d}日`;
  return withTime ? day + (lang === "en" ? ", " : " ") + clock : day;
}
