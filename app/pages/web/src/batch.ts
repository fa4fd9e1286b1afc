// The queue of a meal hall: what is given is chosen once, then scan, tick,
// next. What was done is kept in this window only, without names.
import { Refused, get, newKey, post } from "./api";
import { failure, success } from "./camera";
import { byID, el } from "./dom";
import { codeIdentity } from "./token";
import { amount, button, clock, reasonOf, say, t } from "./view";

interface Reason {
  code: string;
  zh: string;
  en: string;
}

/** An offer that can be handed over here now. */
interface Offer {
  offer: string;
  title_zh: string;
  title_en: string;
  category: string;
  unit: string;
  provider_name: string;
  left_units: number;
}

interface Given {
  offer: string;
  title_zh: string;
  title_en: string;
  category: string;
  unit: string;
  qty_units: number;
  left_units: number;
  handed_over_ms: number;
  reason: Reason;
}

interface Answer {
  at_ms: number;
  outcome: "given" | "already" | "nothing" | "refused";
  resident: string;
  initial: string;
  card_tail: string;
  given: Given[];
  already: Given[];
  refused: Given[];
  reason: Reason;
}

interface Entry {
  who: string;
  at_ms: number;
  good: boolean;
  what: string;
}

/** One sitting: kept over a reload, gone with the window or the sign-out. */
interface Session {
  since_ms: number;
  offers: Offer[];
  people: number;
  entries: Entry[]; // the newest first
}

interface Surroundings {
  begin(): void; // the camera starts
  pause(): void;
  hint(text: string): void;
}

const sessionKey = "happycode-batch";
const keptEntries = 300;
const shownEntries = 8;
const okMs = 1100; // a green tick stands so long

export class Batch {
  private readonly box = byID("batch");
  private readonly list = byID("batch-list");
  private session: Session | undefined;
  private busy = false; // a code is being asked about, or its answer stands
  private shown = false;
  private readonly done = new Map<string, { who: string; at_ms: number }>(); // by code, in this window

  constructor(private readonly around: Surroundings) {
    try {
      this.session = JSON.parse(sessionStorage.getItem(sessionKey) ?? "null") ?? undefined;
    } catch {
      this.session = undefined; // a browser that keeps nothing, or something else kept here
    }
  }

  /** Whether a queue was under way before the page was loaded. */
  get running(): boolean {
    return this.session !== undefined;
  }

  /** Whether codes belong to the queue now. */
  get open(): boolean {
    return this.shown && this.session !== undefined;
  }

  async show(): Promise<void> {
    this.shown = true;
    this.box.hidden = false;
    if (this.session) this.run();
    else await this.choose();
  }

  hide(): void {
    this.shown = false;
    this.box.hidden = this.list.hidden = true;
  }

  /** Serves a code; false: not now, somebody else's answer still stands. */
  take(code: string): boolean {
    const session = this.session;
    if (!session || this.busy) return false;
    this.busy = true;
    const before = this.done.get(codeIdentity(code));
    if (before !== undefined) {
      this.stop(t("scan.batch_again", clock(before.at_ms)), t("scan.batch_again_do"), "amber", { who: before.who });
      return true;
    }
    void this.serve(session, code, newKey());
    return true;
  }

  private async serve(session: Session, code: string, key: string): Promise<void> {
    this.around.hint(t("scan.looking"));
    let answer: Answer;
    try {
      answer = await post<Answer>("/api/v1/scans/handover", { code, offers: session.offers.map((o) => o.offer), since_ms: session.since_ms }, key);
    } catch (error) {
      const known = error instanceof Refused ? error.code : "";
      if (known === "offline" || known === "in_flight" || known === "timeout" || known === "not_ready") {
        this.stop(reasonOf(error), t("scan.batch_retry_do"), "amber", { again: () => void this.serve(session, code, key) });
      } else {
        const unknown = known === "unknown_code";
        this.stop(unknown ? t("scan.batch_unknown") : reasonOf(error), unknown ? reasonOf(error) : "", "red");
        if (unknown) this.note({ who: "—", at_ms: Date.now(), good: false, what: t("scan.batch_unknown") });
      }
      return;
    }
    this.tell(answer, code);
  }

  private tell(answer: Answer, code: string): void {
    const who = answer.initial + " · " + answer.card_tail;
    const what = answer.given.map((g) => title(g) + " " + amount(g.category, g.qty_units, g.unit)).join(say({ zh: "、", en: ", " }));
    const page = "/residents/" + encodeURIComponent(answer.resident);
    const note = (text: string): void => this.note({ who, at_ms: answer.at_ms, good: answer.outcome === "given", what: text });
    switch (answer.outcome) {
      case "given": {
        this.done.set(codeIdentity(code), { who, at_ms: answer.at_ms });
        note(what);
        this.tick(answer.initial, what, answer.given.map((g) => t("scan.batch_left", amount(g.category, g.left_units, g.unit))));
        return;
      }
      case "already": {
        const at = clock(Math.max(...answer.already.map((g) => g.handed_over_ms)));
        note(t("scan.batch_again", at));
        const why = answer.already.filter((g) => say(g.reason)).map((g) => title(g) + say({ zh: "：", en: ": " }) + say(g.reason));
        this.stop(t("scan.batch_again", at), t("scan.batch_again_do"), "amber", { who, page, fold: why });
        return;
      }
      case "refused": {
        const why = answer.refused.map((g) => title(g) + say({ zh: "：", en: ": " }) + say(g.reason));
        if (what) why.unshift("✓ " + what);
        note(t("scan.batch_refused"));
        const proof = answer.refused.every((g) => g.reason.code === "proof_needed");
        this.stop(why.join("\n"), t(proof ? "scan.batch_proof_do" : "scan.batch_refused_do"), "red", { who, page });
        return;
      }
      default:
        note(t("scan.batch_nothing"));
        this.stop(say(answer.reason) || t("scan.batch_nothing"), t("scan.batch_nothing_do"), "amber", { who, page });
    }
  }

  // ---- verdicts ----

  /** Green, and gone by itself. */
  private tick(who: string, what: string, left: string[]): void {
    success();
    const verdict = el(
      "div",
      { class: "verdict verdict-ok", role: "status" },
      el("p", { class: "verdict-mark", "aria-hidden": "true" }, "✓"),
      el("p", { class: "verdict-who" }, who),
      el("p", { class: "verdict-what" }, what),
      ...left.map((text) => el("p", { class: "verdict-do" }, text)),
    );
    const close = (): void => this.close(verdict);
    verdict.addEventListener("click", close);
    window.setTimeout(close, okMs);
    document.body.append(verdict);
  }

  /** Amber or red, until somebody has seen it. */
  private stop(why: string, todo: string, colour: "amber" | "red", more: { who?: string; page?: string; again?: () => void; fold?: string[] } = {}): void {
    failure();
    const buttons = el("div", { class: "verdict-buttons" });
    const verdict = el(
      "div",
      { class: "verdict verdict-" + colour, role: "alertdialog", "aria-modal": "true", "aria-labelledby": "verdict-why" },
      el("div", { class: "verdict-text" }, more.who ? el("p", { class: "verdict-who" }, more.who) : null, el("p", { class: "verdict-why", id: "verdict-why" }, why), todo ? el("p", { class: "verdict-do" }, todo) : null, more.fold?.length ? el("details", { class: "verdict-fold" }, el("summary", {}, t("aid.why")), ...more.fold.map((line) => el("p", {}, line))) : null),
      buttons,
    );
    if (more.page) buttons.append(el("a", { class: "button plain", href: more.page }, t("scan.open_page")));
    const again = more.again;
    if (again) {
      buttons.append(
        button("scan.batch_skip", "plain", () => this.close(verdict)),
        button("scan.retry", "strong", () => {
          verdict.remove();
          again();
        }),
      );
    } else buttons.append(button("scan.batch_next", "strong", () => this.close(verdict)));
    document.body.append(verdict);
    buttons.querySelector<HTMLElement>(".strong")?.focus();
  }

  private close(verdict: HTMLElement): void {
    if (!verdict.isConnected) return;
    verdict.remove();
    this.busy = false;
    this.around.hint(t("scan.aim"));
  }

  // ---- choosing and counting ----

  private async choose(): Promise<void> {
    this.list.hidden = true;
    this.box.replaceChildren(el("p", { class: "sub", role: "status" }, t("scan.batch_loading")));
    let offers: Offer[];
    let now: number; // by the server's clock: phones' clocks differ
    try {
      ({ items: offers, at_ms: now } = await get<{ items: Offer[]; at_ms: number }>("/api/v1/scans/offers"));
    } catch (error) {
      this.box.replaceChildren(el("p", { class: "failure", role: "alert" }, reasonOf(error)), button("scan.retry", "plain", () => void this.choose()));
      return;
    }
    if (!this.shown) return;
    if (offers.length === 0) {
      this.box.replaceChildren(el("p", { class: "none" }, t("scan.batch_none")));
      return;
    }
    const start = el("button", { class: "button strong wide", disabled: "" }, t("scan.batch_start"));
    const boxes = offers.map((offer) => ({ offer, input: el("input", { type: "checkbox", name: "offer", value: offer.offer }) }));
    const form = el(
      "form",
      { class: "card form" },
      el("h2", {}, t("scan.batch_what")),
      el(
        "div",
        { class: "choices" },
        ...boxes.map(({ offer, input }) =>
          el("label", { class: "choice" }, input, el("span", {}, title(offer), el("small", {}, offer.provider_name + " · ", el("span", { class: "together" }, t("scan.batch_left", amount(offer.category, offer.left_units, offer.unit)))))),
        ),
      ),
      start,
    );
    form.addEventListener("change", () => {
      start.disabled = !boxes.some(({ input }) => input.checked);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = boxes.filter(({ input }) => input.checked).map(({ offer }) => offer);
      if (chosen.length === 0) return;
      this.session = { since_ms: now, offers: chosen, people: 0, entries: [] };
      this.keep();
      this.run();
    });
    this.box.replaceChildren(form);
  }

  private run(): void {
    const session = this.session;
    if (!session) return;
    this.busy = false;
    const end = button("scan.batch_end", "plain", () => {
      this.session = undefined;
      this.done.clear();
      this.keep();
      this.around.pause();
      void this.choose();
    });
    this.box.replaceChildren(
      el("div", { class: "batch-bar" }, el("div", {}, el("p", { class: "sub" }, t("scan.batch_giving")), el("p", {}, el("strong", {}, session.offers.map(title).join(say({ zh: "、", en: ", " }))))), end),
    );
    this.account();
    this.around.begin();
  }

  private note(entry: Entry): void {
    const session = this.session;
    if (!session) return;
    session.entries = [entry, ...session.entries].slice(0, keptEntries);
    if (entry.good) session.people++;
    this.keep();
    this.account();
  }

  private account(): void {
    const session = this.session;
    if (!session) return;
    this.list.hidden = false;
    const rows = session.entries.slice(0, shownEntries).map((entry) =>
      el(
        "li",
        { class: "row" },
        el("div", { class: "row-main" }, el("strong", { class: entry.good ? "good" : "bad" }, (entry.good ? "✓ " : "✕ ") + entry.who), el("span", { class: "sub" }, entry.what)),
        el("div", { class: "row-side" }, el("span", { class: "sub num" }, clock(entry.at_ms))),
      ),
    );
    this.list.replaceChildren(
      el("h2", { id: "batch-total" }, t("scan.batch_total", session.people)),
      rows.length > 0 ? el("ul", { class: "rows card" }, ...rows) : el("p", { class: "none" }, t("scan.batch_empty")),
    );
  }

  private keep(): void {
    try {
      if (this.session) sessionStorage.setItem(sessionKey, JSON.stringify(this.session));
      else sessionStorage.removeItem(sessionKey);
    } catch {
      // It then lasts until the page is left.
    }
  }
}

function title(a: { title_zh: string; title_en: string }): string {
  return say({ zh: a.title_zh, en: a.title_en });
}
