// The rows of an offer's rule. The server makes the expression and the sentence
// of them, and rows of an expression; here they are only shown and changed.
import { Refused, post } from "./api";
import { Words, el } from "./dom";
import { type Row, type Tree, asks, complete, listed, newRow, ops, rowsOf, treeOf } from "./rows";

type Choice = [value: string, name: string];

interface Choices {
  groups: Choice[];
  health: Choice[];
  categories: Choice[];
  offers: Choice[];
  places: { name: string; towns: Choice[] }[];
}

interface Checked {
  rule: string;
  tree?: Tree;
  simple: boolean;
  zh: string;
  en: string;
}

/** Runs work some time after the last call. */
function settled(work: () => void): () => void {
  let timer = 0;
  return () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(work, 350);
  };
}

export function rules(): void {
  const section = document.querySelector<HTMLElement>("[data-rule]");
  const form = section?.closest("form");
  const text = section?.querySelector<HTMLTextAreaElement>("textarea[name=rule]");
  const box = section?.querySelector<HTMLElement>("[data-rule-rows]");
  const says = section?.querySelector<HTMLElement>("[data-rule-says]");
  const error = section?.querySelector<HTMLElement>("[data-rule-error]");
  const reach = section?.querySelector<HTMLElement>("[data-rule-reach]");
  const count = section?.querySelector<HTMLButtonElement>("[data-rule-count]");
  const expert = section?.querySelector<HTMLDetailsElement>("[data-rule-expert]");
  if (!section || !form || !text || !box || !says || !error || !reach || !count || !expert) return;
  const choices = JSON.parse(section.dataset["rule"] || "{}") as Choices;
  const words = new Words(section.dataset["words"]);
  const english = document.documentElement.lang.startsWith("en");
  let rows: Row[] = [];
  let any = false;
  let made = 0;
  let counted = reach.childElementCount > 0;
  let asked = 0;

  const wrong = (message: string): void => error.replaceChildren(...(message ? [el("p", { class: "error" }, el("span", {}, message))] : []));

  /** Asks the server what is meant, and shows it. */
  const check = async (body: { rule?: string; tree?: Tree }): Promise<void> => {
    const turn = ++asked;
    try {
      const found = body.tree || body.rule ? await post<Checked>("/api/v1/rules/check", { rule: body.rule ?? "", tree: body.tree }) : undefined;
      if (turn !== asked) return; // something newer is on its way
      says.textContent = found ? (english ? found.en : found.zh) : "";
      wrong("");
      if (body.rule === undefined) text.value = found?.rule ?? "";
      else if (found && !found.simple) beyond();
      else {
        const shape = found?.tree ? rowsOf(found.tree) : { rows: [], any: false };
        rows = shape.rows;
        any = shape.any;
        show();
      }
      if (counted) void look();
    } catch (refused) {
      if (turn !== asked) return;
      says.textContent = "";
      wrong((refused instanceof Refused && (refused.field || refused.message)) || words.t("rule.failed"));
    }
  };
  const built = settled(() => void check({ tree: treeOf(rows, any) }));
  const typed = settled(() => void check({ rule: text.value.trim() }));
  const changed = (): void => {
    const unfinished = rows.some((row) => !complete(row));
    section.querySelector(".rule-unfinished")?.toggleAttribute("hidden", !unfinished);
    built();
  };

  const beyond = (): void => {
    box.replaceChildren(el("p", { class: "hint" }, words.t("rule.beyond")));
    expert.open = true;
  };

  const field = (label: string, control: HTMLElement, extra = ""): HTMLElement => {
    control.id = `rule-${++made}`;
    return el("div", { class: `field ${extra}`.trim() }, el("label", { for: control.id }, label), control);
  };
  const select = (values: Choice[], chosen: string, change: (value: string) => void): HTMLSelectElement => {
    const out = el("select", {}, ...values.map(([value, name]) => el("option", { value }, name)));
    out.value = chosen;
    out.addEventListener("change", () => change(out.value));
    return out;
  };
  const input = (attributes: Record<string, string>, value: string, change: (value: string) => void): HTMLInputElement => {
    const out = el("input", { autocomplete: "off", ...attributes });
    out.value = value;
    out.addEventListener("input", () => change(out.value));
    out.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    return out;
  };
  const ticks = (row: Row, values: Choice[], legend: string): HTMLElement =>
    el(
      "fieldset",
      { class: "field rule-values" },
      el("legend", {}, legend),
      el(
        "div",
        { class: "choices" },
        ...values.map(([value, name]) => {
          const tick = el("input", { type: "checkbox" });
          tick.checked = row.values.includes(value);
          tick.addEventListener("change", () => {
            row.values = tick.checked ? [...row.values, value] : row.values.filter((v) => v !== value);
            changed();
          });
          return el("label", { class: "choice" }, tick, el("span", {}, name));
        }),
      ),
    );
  const days = (row: Row): HTMLElement =>
    field(
      words.t("rule.days"),
      input({ type: "number", inputmode: "numeric", min: "1", max: "366" }, row.days, (v) => {
        row.days = v;
        changed();
      }),
    );

  const body = (row: Row): HTMLElement[] => {
    if (listed.includes(row.ask)) {
      const sides: Choice[] = ["yes", "no"].map((side) => [side, words.t(`rule.${row.ask}_${side}`)]);
      const side = field(
        words.t("rule.how"),
        select(sides, row.denied ? "no" : "yes", (v) => {
          row.denied = v === "no";
          changed();
        }),
      );
      switch (row.ask) {
        case "received":
          return [side, days(row), ticks(row, [...choices.categories, ...choices.offers], words.t("rule.received"))];
        case "division": {
          const places = el(
            "select",
            { multiple: "", size: "6" },
            ...choices.places.map(({ name, towns }) => el("optgroup", { label: name }, ...towns.map(([value, town]) => el("option", { value }, town)))),
          );
          for (const option of places.options) option.selected = row.values.includes(option.value);
          places.addEventListener("change", () => {
            row.values = [...places.selectedOptions].map((option) => option.value);
            changed();
          });
          return [side, field(words.t("rule.ask_division"), places, "rule-values")];
        }
        default:
          return [side, ticks(row, row.ask === "group" ? choices.groups : choices.health, words.t(`rule.ask_${row.ask}`))];
      }
    }
    const compare = field(
      words.t("rule.how"),
      select(
        Object.entries(ops).map(([op, name]): Choice => [op, words.t(`rule.${row.ask === "today" ? "date" : "op"}_${name}`)]),
        row.op,
        (v) => {
          row.op = v;
          changed();
        },
      ),
    );
    if (row.ask === "today") {
      const date = input({ type: "date" }, row.date, (v) => {
        row.date = v;
        changed();
      });
      return [compare, field(words.t("rule.ask_today"), date)];
    }
    const step = row.ask === "score" ? { inputmode: "decimal", min: "0", max: "1", step: "0.01" } : { inputmode: "numeric", min: "0", max: "150", step: "1" };
    const figure = field(
      words.t(`rule.unit_${row.ask}`),
      input({ type: "number", ...step }, row.number, (v) => {
        row.number = v;
        changed();
      }),
    );
    if (row.ask !== "others") return [compare, figure];
    const known = [...choices.categories, ...choices.offers].map(([value]) => value);
    const named = input({ type: "text" }, row.values.map((v) => v.replace(/^#/, "")).join(" "), (v) => {
      row.values = v
        .split(/[\s,，、]+/)
        .filter((name) => name !== "")
        .map((name) => (known.includes(name) || name.startsWith("#") ? name : "#" + name));
      changed();
    });
    // Both sides have to say the rule: an offer that names a set belongs to it.
    named.addEventListener("change", () => {
      const sets = form.querySelector<HTMLInputElement>("[name=sets]");
      const have = sets?.value.split(/[\s,，、]+/).filter((name) => name !== "") ?? [];
      const more = row.values.filter((v) => v.startsWith("#")).map((v) => v.slice(1)).filter((name) => !have.includes(name));
      if (sets) sets.value = [...have, ...more].join(" ");
    });
    return [field(words.t("rule.others"), named, "rule-values"), days(row), compare, figure];
  };

  const rowBox = (row: Row, i: number): HTMLElement => {
    const remove = el("button", { type: "button", class: "button plain" }, words.t("rule.remove"));
    remove.addEventListener("click", () => {
      rows.splice(rows.indexOf(row), 1);
      show();
      changed();
      box.querySelector<HTMLElement>("[data-rule-add]")?.focus();
    });
    const what = select(
      asks.map((ask): Choice => [ask, words.t(`rule.ask_${ask}`)]),
      row.ask,
      (ask) => {
        rows[rows.indexOf(row)] = newRow(ask);
        show();
        changed();
        box.querySelectorAll<HTMLElement>("[data-rule-what]")[i]?.focus();
      },
    );
    what.dataset["ruleWhat"] = "";
    return el("fieldset", { class: "lot rule-row" }, el("legend", {}, words.t("rule.row", i + 1)), field(words.t("rule.what"), what, "rule-what"), ...body(row), remove);
  };

  function show(): void {
    if (!box) return;
    const add = el("button", { type: "button", class: "button plain", "data-rule-add": "" }, words.t("rule.add"));
    add.addEventListener("click", () => {
      rows.push(newRow(asks.find((ask) => !rows.some((row) => row.ask === ask)) ?? "age"));
      show();
      changed();
      box.querySelectorAll<HTMLElement>("[data-rule-what]")[rows.length - 1]?.focus();
    });
    const joint = select(
      [
        ["all", words.t("rule.all")],
        ["any", words.t("rule.any")],
      ],
      any ? "any" : "all",
      (v) => {
        any = v === "any";
        changed();
      },
    );
    const unfinished = el("p", { class: "hint rule-unfinished" }, words.t("rule.unfinished"));
    unfinished.hidden = rows.every(complete);
    box.replaceChildren(...(rows.length > 1 ? [field(words.t("rule.joint"), joint)] : []), ...rows.map(rowBox), unfinished, add);
  }

  /** Has the server count, with all that the form says. */
  const look = async (): Promise<void> => {
    counted = true;
    count.disabled = true;
    const waiting = el("p", { class: "sub" }, words.t("rule.counting"));
    reach.append(waiting);
    try {
      const sent = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (typeof value === "string") sent.append(name, value);
      const answer = await fetch(count.formAction, { method: "POST", body: sent, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.querySelector("[data-rule-reach]");
      if (!found) throw new Error(String(answer.status));
      reach.replaceChildren(...[...found.childNodes].map((node) => document.importNode(node, true)));
      const fault = page.querySelector("[data-rule-error]")?.textContent?.trim();
      if (fault) wrong(fault);
    } catch {
      waiting.textContent = words.t("rule.failed");
    }
    count.disabled = false;
  };

  box.hidden = false;
  show();
  if (text.value.trim()) typed();
  text.addEventListener("input", typed);
  count.addEventListener("click", (event) => {
    event.preventDefault();
    void look();
  });
}
