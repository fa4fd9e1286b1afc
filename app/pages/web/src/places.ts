// Where somebody is: county, town and village one after the other, instead of
// one long list of towns. The list stays in the form and carries the answer.
import { el } from "./dom";

interface Division {
  code: string;
  name: string;
  english_name?: string;
}

function field(id: string, label: string): { box: HTMLElement; select: HTMLSelectElement } {
  const select = el("select", { id });
  return { box: el("div", { class: "field" }, el("label", { for: id }, label), select), select };
}

function fill(select: HTMLSelectElement, first: string, options: [string, string][], chosen: string): void {
  select.replaceChildren(new Option(first, ""), ...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === chosen) ? chosen : "";
}

/** Replaces the list of a report's places by three short ones. */
export function places(): void {
  const box = document.querySelector<HTMLElement>("[data-places]");
  const list = box?.querySelector("select");
  const whole = box?.querySelector<HTMLElement>(".field");
  if (!box || !list || !whole) return;
  const say = (name: string): string => box.dataset[name] ?? "";
  const groups = [...list.querySelectorAll("optgroup")].map((group) => ({
    code: group.querySelector("option")?.value ?? "",
    name: group.label,
    towns: [...group.querySelectorAll("option")].slice(1).filter((o) => o.value.endsWith("000")).map((o): [string, string] => [o.value, o.text]),
  }));
  const county = field("places-county", say("county"));
  const town = field("places-town", say("town"));
  const village = field("places-village", say("village"));
  const error = whole.querySelector(".error");
  county.select.required = true;
  county.box.querySelector("label")?.append(el("span", { class: "must", "aria-hidden": "true" }, "*"));
  if (error) {
    county.box.classList.add("bad");
    county.box.append(error);
  }
  delete list.dataset["filter"];
  list.required = false;
  whole.classList.remove("bad");
  whole.hidden = true;
  box.append(county.box, town.box, village.box);

  const keep = (): void => {
    const code = village.select.value || town.select.value || county.select.value;
    if (code && ![...list.options].some((o) => o.value === code)) list.append(new Option(code, code));
    list.value = code;
  };
  const showTowns = (chosen: string): void => {
    const group = groups.find((g) => g.code === county.select.value);
    town.box.hidden = !group;
    fill(town.select, say("unknown"), group?.towns ?? [], chosen);
  };
  let asked = 0;
  const showVillages = async (chosen: string): Promise<void> => {
    const at = ++asked;
    village.box.hidden = true;
    fill(village.select, say("unknown"), [], "");
    if (!town.select.value) return;
    try {
      const answer = await fetch("/api/v1/divisions?parent=" + town.select.value, { headers: { Accept: "application/json" } });
      if (!answer.ok || at !== asked) return;
      const found = ((await answer.json()) as { items: Division[] }).items;
      const english = document.documentElement.lang.startsWith("en");
      fill(village.select, say("unknown"), found.map((d) => [d.code, (english && d.english_name) || d.name]), chosen);
      village.box.hidden = found.length === 0;
      keep();
    } catch {
      // Without a connection the town is near enough.
    }
  };
  county.select.addEventListener("change", () => {
    showTowns("");
    void showVillages("");
    keep();
  });
  town.select.addEventListener("change", () => {
    void showVillages("");
    keep();
  });
  village.select.addEventListener("change", keep);

  const chosen = list.value;
  fill(county.select, say("choose"), groups.map((g) => [g.code, g.name]), chosen && chosen.slice(0, 6) + "000000");
  showTowns(chosen && chosen.slice(0, 9) + "000");
  void showVillages(chosen);
}
