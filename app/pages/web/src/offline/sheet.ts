// One person before the caseworker: who it is, and what to hand over.
import { el } from "../dom";
import { checkPIN } from "./lock";
import type { Parts } from "./parts";
import type { Refusal, Roster, Thing } from "./rules";
import { type DB, pinTries, triesLeft } from "./store";
import { nextPaint } from "./take";
import type { Code, How, Need, Person } from "./types";

/** How somebody was recognised. */
export interface Shown {
  person: Person;
  how: How;
  code: Code | undefined; // that was scanned
  token: string; // its digits
}

export interface Sheet {
  db: DB;
  parts: Parts;
  roster(): Roster;
  now(): number;
  /** Writes the handover; returns once it is on the disk. */
  give(shown: Shown, thing: Thing, pin: boolean): Promise<Refusal | undefined>;
  /** Back to the list; scan: with the camera on. */
  done(scan: boolean): void;
}

export function sheet(k: Sheet, shown: Shown): HTMLElement {
  const { parts } = k;
  const { t } = parts;
  const { person } = shown;
  const carer = shown.code?.carer_name ?? "";
  const who = carer && shown.code ? shown.code.id : person.resident;
  let pin = false; // the right one was typed while this sheet is open

  const things = el("div", { class: "stack", id: "off-things" });
  const still = el("div", { id: "off-waiting" });
  const draw = (): void => {
    const list = k.roster().for(person, k.now());
    things.replaceChildren(...list.map((thing) => card(thing)));
    if (list.length === 0) things.append(el("p", { class: "none" }, t("offline.nothing")));
    still.replaceChildren(...waiting(parts, k.roster().wanted(person)));
  };

  const card = (thing: Thing): HTMLElement => {
    const { item } = thing;
    const why = thing.need ? "" : parts.reason(item.reason);
    const box = el(
      "article",
      { class: "aid promise" + (thing.given ? " is-done" : ""), "data-allocation": item.allocation },
      el("div", { class: "aid-head" }, el("h3", {}, parts.title(item)), el("strong", { class: "amount" }, parts.amount(item, item.qty_units))),
      el(
        "p",
        { class: "tags" },
        parts.tag(parts.category(item.category)),
        thing.need ? parts.tag(thing.given ? t("offline.spare") : t("offline.spare_left", thing.portions), "tag hot") : null,
        !thing.given && k.roster().needsPIN(item) ? parts.tag(t("offline.wants_pin"), "tag hot") : null,
      ),
      parts.facts(["aid.place", parts.say({ zh: item.handover.place, en: item.handover.place_en })], ["aid.note", item.handover.note]),
      why ? el("p", { class: "why" }, why) : null,
    );
    if (thing.given) {
      box.append(el("p", { class: "result" }, "✓ " + t("offline.given")));
      return box;
    }
    const actions = el("div", { class: "actions" });
    const tell = (text: string): void => {
      box.querySelector(".failure")?.remove();
      if (text) actions.before(parts.failure(text));
    };
    const give = parts.button("offline.give", "strong wide", () => void press());
    const press = async (): Promise<void> => {
      if (give.disabled) return;
      give.disabled = true;
      tell("");
      try {
        const why = await k.give(shown, thing, pin);
        if (!why) return draw();
        if (why === "pin") ask(box, actions, () => void press());
        else tell(t("offline_no." + why));
      } catch {
        tell(t("offline.failed"));
      } finally {
        give.disabled = false;
      }
    };
    actions.append(give);
    box.append(actions);
    return box;
  };

  /** Asks who showed the code for the PIN, on the phone that is held out to them. */
  const ask = (box: HTMLElement, actions: HTMLElement, then: () => void): void => {
    const digits = parts.digits("12");
    digits.id = "off-resident-pin";
    const form = el("form", { class: "off-pin" }, el("label", { for: digits.id }, carer ? t("offline.carer_pin", carer) : t("offline.resident_pin")), digits, el("button", { class: "button strong wide" }, t("offline.check_pin")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void check();
    });
    const check = async (): Promise<void> => {
      const typed = digits.value;
      form.querySelector(".failure")?.remove();
      for (const b of form.querySelectorAll("button")) b.disabled = true;
      await nextPaint();
      const verdict = await checkPIN(k.db, who, k.roster().pinHash(person, shown.code), typed, k.now());
      for (const b of form.querySelectorAll("button")) b.disabled = false;
      digits.value = "";
      if (verdict === "right") {
        pin = true;
        form.remove();
        actions.hidden = false;
        then();
        return;
      }
      const left = verdict === "spent" ? 0 : await triesLeft(k.db, who);
      form.prepend(parts.failure(left > 0 ? t("offline.pin_wrong", left) : t("offline.pin_spent", pinTries)));
      digits.focus();
    };
    for (const open of document.querySelectorAll(".off-pin")) open.remove();
    for (const hidden of things.querySelectorAll<HTMLElement>(".actions[hidden]")) hidden.hidden = false;
    actions.hidden = true;
    box.append(form);
    digits.focus();
  };

  draw();
  return el(
    "div",
    { class: "answer", id: "off-person" },
    el(
      "section",
      { class: "card person" },
      el("h2", {}, person.name),
      el("p", { class: "sub" }, [person.place, person.birth_year ? t("offline.born", person.birth_year) : ""].filter(Boolean).join(" · ")),
      el("p", { class: "tags" }, parts.tag(t("offline_by." + shown.how), shown.how === "word" ? "tag hot" : "tag good"), ...(person.groups ?? []).map((id) => parts.tag(parts.group(id)))),
      shown.code?.carer_name ? el("p", { class: "notice notice-pending" }, t("offline.carer", shown.code.carer_name, shown.code.relation)) : null,
    ),
    el("section", {}, el("h2", {}, t("offline.to_give")), things, still),
    ...(person.elsewhere ?? []).map((e) => el("p", { class: "none" }, t("offline.elsewhere", parts.title(e), e.device, parts.when(e.until_ms)))),
    el("div", { class: "actions" }, parts.button("offline.next_one", "strong", () => k.done(true)), parts.button("offline.back", "plain", () => k.done(false))),
  );
}

/** What is still wanted, and why it waits; folded, because the queue goes on. */
function waiting(parts: Parts, wanted: { need: Need; left: number }[]): HTMLElement[] {
  if (wanted.length === 0) return [];
  const lines = wanted.map(({ need, left }) =>
    el("li", {}, el("strong", {}, parts.category(need.category) + " " + parts.amount({ category: need.category, unit: "" }, left)), el("br"), parts.reason(need.rest) || parts.reason(need.reason)));
  return [el("details", { class: "fold" }, el("summary", {}, parts.t("offline.waiting", wanted.length)), el("ul", { class: "plain-list" }, ...lines))];
}
