// What the scan page shows of an answer.
import { Refused, get, newKey, post } from "./api";
import { success } from "./camera";
import { Words, byID, el, number, when, yuan } from "./dom";
import { proving } from "./proof";

export interface Reason {
  zh: string;
  en: string;
}

export interface Need {
  id: string;
  category: string;
  qty_units: number;
  promised_units: number;
  given_units: number;
  left_units: number; // neither promised nor given
  urgency: number;
  state: string;
  reason: Reason;
  rest: Reason; // why what is left waits beside a promise
  position: number;
  until_ms: number;
  not_served?: { offer: string; title_zh: string; title_en: string; reason: Reason }[];
}

export interface Allocation {
  id: string;
  resident: string;
  category: string;
  title_zh: string;
  title_en: string;
  unit: string;
  qty_units: number;
  provider_name: string;
  provider_kind: string;
  state: string;
  accepted: boolean;
  reason: Reason;
  handover: { how: string; place: string; place_en: string; note: string };
  expires_ms: number;
  handed_over_ms: number;
  leased?: Reason; // why only a device may hand it over
  pin_required?: boolean;
  photo?: boolean;
}

export interface Answer {
  scan: string;
  shown_by?: { name: string; relation: string; until_ms: number };
  resident: { id: string; name: string; id_masked: string; card_no: string; place: string; birth_year: number; groups?: string[]; score_milli: number };
  needs?: Need[];
  offered?: Allocation[];
  received?: Allocation[];
}

export interface Kinds {
  categories: Record<string, { name: string; unit: string; money: boolean }>;
  groups: Record<string, string>;
}

const root = byID("scan");
const answerBox = byID("answer");
const words = new Words(root.dataset["words"]);
const kinds = JSON.parse(root.dataset["categories"] || '{"categories":{},"groups":{}}') as Kinds;

export const lang = root.dataset["lang"] ?? "zh";
export const wasm = root.dataset["wasm"] ?? "";
export const t = words.t.bind(words);

/** What to say about an error, in the user's language. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Refused)) return t("scan.failed");
  if (error.code === "offline") return t("scan.offline");
  if (error.code === "signed_out") return t("scan.signin");
  return error.message || t("scan.failed");
}

export function working(text: string): void {
  answerBox.replaceChildren(el("div", { class: "card working", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), el("span", {}, text)));
}

export function fail(text: string, again?: () => void): void {
  const actions = el("div", { class: "actions" });
  if (again) actions.append(button("scan.retry", "plain", again));
  answerBox.replaceChildren(el("div", {}, el("p", { class: "failure", role: "alert" }, text), again ? actions : null));
}

export function button(key: string, kind: string, press: () => void): HTMLButtonElement {
  const node = el("button", { type: "button", class: ("button " + kind).trim() }, t(key));
  node.addEventListener("click", press);
  return node;
}

export function say(text: { zh: string; en: string } | undefined): string {
  if (!text) return "";
  return (lang === "en" ? text.en : text.zh) || text.zh || text.en;
}

function kindOf(category: string): { name: string; unit: string; money: boolean } {
  return kinds.categories[category] ?? { name: category, unit: "", money: false };
}

export function amount(category: string, units: number, unit?: string): string {
  const kind = kindOf(category);
  if (kind.money) return yuan(units);
  let name = lang === "zh" && unit ? unit : kind.unit || unit || "";
  if (lang === "en" && units !== 1 && name === kind.unit && name && !name.endsWith("s")) name += "s";
  return number(units) + (name ? " " + name : "");
}

/** A time of the day in China: "11:42". */
export function clock(ms: number): string {
  return new Date(ms + 8 * 3600_000).toISOString().slice(11, 16);
}

function tag(text: string, kind = "tag"): HTMLElement {
  return el("span", { class: kind }, text);
}

function facts(...pairs: [string, string][]): HTMLElement | null {
  const full = pairs.filter(([, text]) => text !== "");
  if (full.length === 0) return null;
  return el("dl", { class: "facts" }, ...full.map(([key, text]) => el("div", {}, el("dt", {}, t(key)), el("dd", {}, text))));
}

function section(heading: string, items: HTMLElement[], none: string): HTMLElement {
  return el("section", {}, el("h2", {}, t(heading)), items.length > 0 ? el("div", { class: "stack" }, ...items) : el("p", { class: "none" }, t(none)));
}

/** Shows the whole answer of a scan; next goes on to the next person. */
export function show(answer: Answer, next: () => void): void {
  const person = answer.resident;
  const tags = el("p", { class: "tags" }, ...(person.groups ?? []).map((id) => tag(kinds.groups[id] ?? id)));
  const received = (answer.received ?? []).map((a) =>
    el(
      "li",
      { class: "row" },
      el("div", { class: "row-main" }, el("strong", {}, title(a)), el("span", { class: "sub" }, tag(t("kind." + a.provider_kind), "end end-" + a.provider_kind), " " + a.provider_name), folded(say(a.reason))),
      el("div", { class: "row-side" }, el("strong", {}, amount(a.category, a.qty_units, a.unit)), el("span", { class: "sub" }, when(a.handed_over_ms, lang, false))),
    ),
  );
  answerBox.replaceChildren(
    el(
      "section",
      { class: "card person" },
      el("h2", {}, person.name),
      el("p", { class: "sub" }, [person.place, person.birth_year ? t("scan.born", person.birth_year) : "", person.id_masked].filter(Boolean).join(" · ")),
      tags,
      answer.shown_by ? el("p", { class: "notice notice-pending shown-by" }, t("scan.shown_by", t("relation." + answer.shown_by.relation), answer.shown_by.name, when(answer.shown_by.until_ms, lang, false))) : null,
      el("div", { class: "actions" }, button("scan.next", "strong", next), el("a", { class: "button plain", href: "/residents/" + encodeURIComponent(person.id) + "?scan=" + encodeURIComponent(answer.scan) }, t("scan.open_page"))),
    ),
    section("scan.matched", (answer.offered ?? []).map((a) => promise(a, answer.scan)), "scan.matched_none"),
    needs(answer.needs ?? []),
    el("section", {}, el("h2", {}, t("scan.received")), received.length > 0 ? el("ul", { class: "rows card" }, ...received) : el("p", { class: "none" }, t("scan.received_none"))),
  );
  answerBox.focus({ preventScroll: true });
  answerBox.scrollIntoView({ block: "start" });
}

function needs(list: Need[]): HTMLElement {
  const box = section("scan.needs", list.map(need), "scan.needs_none");
  box.id = "needs";
  return box;
}

/** Shows the needs as they stand after a handover or a refusal. */
async function refreshNeeds(resident: string): Promise<void> {
  try {
    const answer = await get<{ items: Need[] }>(`/api/v1/residents/${encodeURIComponent(resident)}/needs`);
    document.getElementById("needs")?.replaceWith(needs(answer.items));
  } catch {
    // Without a connection they stay as the scan found them.
  }
}

/** A reason that takes a line until somebody asks for it. */
function folded(reason: string): HTMLElement | null {
  return reason ? el("details", { class: "row-why" }, el("summary", {}, t("aid.why")), el("p", { class: "sub" }, reason)) : null;
}

function title(a: Allocation): string {
  return say({ zh: a.title_zh, en: a.title_en });
}

function promise(a: Allocation, scan: string): HTMLElement {
  const box = el("article", { class: "aid promise" });
  const place = say({ zh: a.handover.place, en: a.handover.place_en });
  const actions = el("div", { class: "actions" });
  const key = newKey();
  let busy = false;
  const act = async (verb: string, body: unknown, done: string): Promise<void> => {
    if (busy) return;
    busy = true;
    box.querySelector(".failure")?.remove();
    for (const b of actions.querySelectorAll("button")) b.disabled = true;
    try {
      const changed = await post<Allocation>(`/api/v1/allocations/${encodeURIComponent(a.id)}/${verb}`, body, `${verb}-${key}`);
      box.replaceWith(promise({ ...a, ...changed, accepted: changed.accepted || verb === "accept" }, scan));
      if (verb === "handover") success();
      announce(t(done));
      void refreshNeeds(a.resident);
    } catch (error) {
      busy = false;
      for (const b of actions.querySelectorAll("button")) b.disabled = false;
      actions.before(el("p", { class: "failure", role: "alert" }, reasonOf(error)));
    }
  };
  box.append(
    el("div", { class: "aid-head" }, el("h3", {}, title(a)), el("strong", { class: "amount" }, amount(a.category, a.qty_units, a.unit))),
    el("p", { class: "tags" }, tag(t("kind." + a.provider_kind), "end end-" + a.provider_kind), tag(kindOf(a.category).name), a.accepted && a.state === "promised" ? tag(t("aid.accepted"), "tag good") : null),
    facts(["aid.from", a.provider_name], ["aid.how", a.handover.how ? t("how." + a.handover.how) : ""], ["aid.place", place], ["aid.note", a.handover.note], ["aid.expires", a.state === "promised" ? when(a.expires_ms, lang) : ""]) ?? "",
  );
  if (say(a.reason)) box.append(el("p", { class: "why" }, say(a.reason)));
  if (a.state === "handed_over") {
    box.classList.add("is-done");
    box.append(el("p", { class: "result" }, "✓ " + t("scan.handed_over")));
    return box;
  }
  if (a.state !== "promised") {
    box.classList.add("is-off");
    box.append(el("p", { class: "tags" }, tag(t("state." + a.state), "state state-" + a.state)));
    return box;
  }
  if (a.leased) {
    box.append(el("p", { class: "why" }, say(a.leased)));
    return box;
  }
  const proof = a.pin_required ? proving(a, (changed) => box.replaceWith(promise({ ...a, ...changed }, scan)), { t, reasonOf }) : undefined;
  if (proof) box.append(proof.box);
  else if (a.photo) box.append(el("p", { class: "tags" }, tag(t("aid.photo_there"), "tag good")));
  actions.append(button("aid.hand_over", "strong", () => void act("handover", { scan, pin: proof?.pin() ?? "" }, "scan.handed_over")));
  if (!a.accepted) actions.append(button("aid.accept", "plain", () => void act("accept", {}, "scan.accepted")));
  actions.append(declining(a.id, (reason) => void act("decline", { reason }, "scan.declined")));
  box.append(actions);
  return box;
}

function declining(id: string, decline: (reason: string) => void): HTMLElement {
  const select = el("select", { id: "why-" + id }, ...["no_need", "have", "unsuitable", "too_far", "other"].map((r) => el("option", { value: r }, t("decline." + r))));
  const form = el("form", {}, el("div", { class: "field" }, el("label", { for: "why-" + id }, t("aid.decline_why")), select), el("button", { class: "button danger" }, t("aid.decline_sure")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    decline(t("decline." + select.value));
  });
  return el("details", { class: "decline" }, el("summary", { class: "button plain" }, t("aid.decline")), form);
}

function need(n: Need): HTMLElement {
  const others = (n.not_served ?? []).map((o) => el("li", {}, el("strong", {}, say({ zh: o.title_zh, en: o.title_en })), el("br"), say(o.reason)));
  const started = n.promised_units + n.given_units > 0;
  const rest = say(n.rest);
  return el(
    "article",
    { class: "aid need" },
    el("div", { class: "aid-head" }, el("h3", {}, kindOf(n.category).name), el("strong", { class: "amount" }, amount(n.category, n.qty_units))),
    el("p", { class: "tags" }, tag(t("state." + n.state), "state state-" + n.state), n.urgency > 2 ? tag(t("urgency." + n.urgency), "tag hot") : null, n.position > 0 ? tag(t("need.position", n.position)) : null),
    say(n.reason) && say(n.reason) !== rest ? el("p", { class: "why" }, say(n.reason)) : null,
    rest ? el("p", { class: "why" }, t("need.rest", amount(n.category, n.left_units)) + rest) : null,
    facts(
      ["need.progress", started ? t("need.progress_text", amount(n.category, n.promised_units), amount(n.category, n.given_units)) : ""],
      ["need.until", when(n.until_ms, lang, false)],
    ),
    others.length > 0 ? el("details", { class: "fold" }, el("summary", {}, t("need.not_served", others.length)), el("ul", { class: "plain-list" }, ...others)) : null,
  );
}

/** Says for screen readers what has just happened. */
function announce(text: string): void {
  let line = answerBox.querySelector(".done");
  if (!line) {
    line = el("p", { class: "done", role: "status" });
    answerBox.prepend(line);
  }
  line.textContent = text;
}
