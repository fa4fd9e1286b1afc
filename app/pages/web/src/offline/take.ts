// Taking a village or a town along, while there is a network.
import { el } from "../dom";
import { take } from "./lock";
import type { Parts } from "./parts";
import { type Choices, type Division, Fault, type Me, type Server, newKey } from "./server";
import { type DB, become, keep, rows } from "./store";
import type { Bundle } from "./types";

export interface Taking {
  db: DB;
  server: Server;
  parts: Parts;
  me: Me;
  box: HTMLElement;
  /** The list is on the phone and open. */
  taken(key: CryptoKey, bundle: Bundle): void;
  /** A request failed; says whether the page shows something else now. */
  failed(error: unknown): Promise<boolean>;
}

const hoursToChoose = [4, 8, 12, 24, 48, 72];

/** Shows what there is to do before leaving the network. */
export async function showTake(k: Taking): Promise<void> {
  const { parts } = k;
  k.box.replaceChildren(parts.busy(parts.t("offline.asking")));
  try {
    const device = await become(k.db, k.me.account);
    const had = device ? await existing(k, device.id) : undefined;
    if (had) showAgain(k, had);
    else await showPlace(k, device?.id);
  } catch (error) {
    if (!(await k.failed(error))) k.box.replaceChildren(parts.failure(reason(k, error)), el("div", { class: "actions" }, parts.button("offline.retry", "plain", () => void showTake(k))));
  }
}

/** The lease that the server still keeps for this device. */
async function existing(k: Taking, device: string): Promise<Bundle | undefined> {
  const own = (await k.server.devices()).find((d) => d.id === device);
  if (own?.state === "lost") throw new Fault(403, "device_lost", "");
  return own?.lease ? k.server.lease(device) : undefined;
}

/** A list that the phone lost is fetched again under a new PIN. */
function showAgain(k: Taking, bundle: Bundle): void {
  const { parts } = k;
  const pin = pinFields(parts);
  const form = el(
    "form",
    { class: "card form", id: "off-again" },
    el("h2", {}, parts.t("offline.again", bundle.lease.place)),
    el("p", {}, parts.t("offline.again_text", parts.when(bundle.lease.until_ms))),
    ...pin.fields,
    el("button", { class: "button strong wide" }, parts.t("offline.again_go")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void carry(k, form, pin.value, () => Promise.resolve(bundle));
  });
  k.box.replaceChildren(form);
}

async function showPlace(k: Taking, device: string | undefined): Promise<void> {
  const { parts } = k;
  const t = parts.t;
  const place = el("div", { class: "form" });
  const next = el("button", { class: "button strong wide", disabled: "" }, t("offline.next"));
  let division = "";
  const choose = (code: string): void => {
    division = code;
    next.disabled = code === "";
  };
  await chain(k, place, k.me.division, choose);
  const name = el("input", { type: "text", maxlength: "40", required: "", autocomplete: "off" });
  name.value = t(/Android|iPhone|iPad|Mobile/i.test(navigator.userAgent) ? "offline.phone_of" : "offline.computer_of", k.me.name);
  const form = el(
    "form",
    { class: "card form", id: "off-take" },
    el("h2", {}, t("offline.take")),
    el("p", {}, t("offline.take_text")),
    place,
    device ? null : parts.field("off-name", "offline.device_name", name, t("offline.device_name_hint")),
    next,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void act(k, form, async () => {
      device ??= await register(k, name.value.trim()); // once, whatever fails after it
      showChoices(k, device, division, await k.server.choices(device, division));
    });
  });
  k.box.replaceChildren(form);
}

/** One select for each level below the account's own division, down to a village or a whole town. */
async function chain(k: Taking, box: HTMLElement, parent: string, choose: (code: string) => void): Promise<void> {
  const below = await k.server.below(parent);
  if (below.length === 0) {
    choose(parent);
    return;
  }
  const level = below[0]?.level ?? "";
  const town = level === "village";
  const select = el(
    "select",
    { required: "" },
    el("option", { value: "" }, k.parts.t("offline.choose")),
    town ? el("option", { value: parent }, k.parts.t("offline.whole_town")) : null,
    ...below.map((d: Division) => el("option", { value: d.code }, d.name)),
  );
  const field = k.parts.field("off-" + level, "offline_level." + level, select, town ? k.parts.t("offline.whole_town_hint") : "");
  select.addEventListener("change", () => {
    while (field.nextSibling) field.nextSibling.remove();
    choose(town ? select.value : "");
    if (town) return;
    const chosen = below.find((d) => d.code === select.value);
    if (!chosen) return;
    chain(k, box, chosen.code, choose).catch(async (error: unknown) => {
      if (!(await k.failed(error))) field.after(k.parts.failure(reason(k, error)));
    });
  });
  box.append(field);
}

/** Makes the phone's own keys, none of which can be read out, and tells the server the public one. */
async function register(k: Taking, name: string): Promise<string> {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const queueKey = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const id = await k.server.register(name, keys.publicKey);
  await keep(k.db, { device: { id, account: k.me.account, name, keys, queueKey }, seq: 0 });
  return id;
}

function showChoices(k: Taking, device: string, division: string, choices: Choices): void {
  const { parts } = k;
  const t = parts.t;
  if (choices.people > choices.max_people) {
    k.box.replaceChildren(
      el("div", { class: "card form", id: "off-many" }, el("h2", {}, choices.place), parts.failure(t("offline.too_many", choices.max_people)), parts.button("offline.choose_again", "strong wide", () => void showTake(k))),
    );
    return;
  }
  const hours = el("select", {}, ...hoursToChoose.filter((h) => h <= choices.max_hours).map((h) => el("option", { value: String(h), ...(h === 12 ? { selected: "" } : {}) }, t("offline.hours", h))));
  const left = choices.max_spares - choices.held_units;
  const spares = (left > 0 ? (choices.spares ?? []) : []).map((s, i) => {
    const most = Math.min(s.most_units, left);
    const count = el("input", { type: "number", inputmode: "numeric", min: "0", max: String(most), value: "0" });
    count.id = "off-spare-" + i;
    const row = el(
      "div",
      { class: "off-spare" },
      el("label", { for: count.id }, el("strong", {}, parts.title(s)), el("span", { class: "sub" }, t("offline.free", parts.amount(s, s.free_units), parts.amount(s, most)))),
      count,
    );
    return { offer: s.offer, count, row };
  });
  // The bounds are said, and kept, before the form is sent.
  const total = el("p", { class: "hint", role: "status" });
  const asked = (count: HTMLInputElement): number => Number(count.value) || 0;
  const tally = (): void => {
    const units = spares.reduce((n, s) => n + asked(s.count), 0);
    total.textContent = [t("offline.spares_total", units, left), choices.held_units > 0 ? t("offline.spares_held", choices.held_units) : ""].join(parts.lang === "en" ? " " : "");
    for (const s of spares) s.count.setCustomValidity(units > left && asked(s.count) > 0 ? t("offline.spares_many", left) : "");
  };
  for (const s of spares) s.count.addEventListener("input", tally);
  tally();
  const pin = pinFields(parts);
  const key = newKey();
  const form = el(
    "form",
    { class: "card form", id: "off-choices" },
    el("h2", {}, t("offline.people_found", choices.place, choices.people)),
    parts.field("off-hours", "offline.how_long", hours, t("offline.how_long_hint")),
    spares.length > 0
      ? el("fieldset", { class: "field" }, el("legend", {}, t("offline.spares")), el("p", { class: "hint" }, t("offline.spares_hint")), ...spares.map((s) => s.row), total)
      : el("p", { class: "none" }, left > 0 ? t("offline.spares_none") : t("offline.spares_spent", choices.held_units)),
    ...pin.fields,
    el("button", { class: "button strong wide" }, t("offline.go")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const spare = spares.map((s) => ({ offer: s.offer, qty_units: asked(s.count) })).filter((s) => s.qty_units > 0);
    void carry(k, form, pin.value, () => k.server.take(device, division, Number(hours.value), spare, key), key);
  });
  k.box.replaceChildren(form);
  k.box.focus();
}

function pinFields(parts: Parts): { fields: HTMLElement[]; value: () => string | undefined } {
  const [one, two] = [parts.digits(), parts.digits()];
  return {
    fields: [parts.field("off-pin", "offline.new_pin", one, parts.t("offline.new_pin_hint")), parts.field("off-pin-again", "offline.pin_again", two)],
    value: () => (/^\d{6}$/.test(one.value) && one.value === two.value ? one.value : undefined),
  };
}

/** Fetches the list, locks it and keeps it, and shows how far that is. */
async function carry(k: Taking, form: HTMLFormElement, pin: () => string | undefined, fetchBundle: () => Promise<Bundle>, key?: string): Promise<void> {
  const { parts } = k;
  const digits = pin();
  form.querySelector(".failure")?.remove();
  if (!digits) {
    form.querySelector("button")?.before(parts.failure(parts.t("offline.pin_form")));
    return;
  }
  await act(k, form, async () => {
    const bar = el("progress", { max: "100" });
    const line = el("p", { role: "status" }, parts.t("offline.fetching"));
    const progress = el("div", { class: "bar-box" }, bar, line);
    form.append(progress);
    const look = window.setInterval(() => {
      if (!key) return;
      k.server.progress(key).then(
        (p) => {
          if (p.total > 0) bar.value = (90 * p.done) / p.total;
        },
        () => undefined, // it has not begun
      );
    }, 500);
    try {
      const bundle = await fetchBundle();
      window.clearInterval(look);
      bar.value = 95;
      line.textContent = parts.t("offline.locking");
      await nextPaint();
      // The browser is asked not to clear what is not on the server yet.
      void navigator.storage?.persist?.().catch(() => false);
      const through = (await rows(k.db)).filter((r) => r.state !== "waiting").reduce((n, r) => Math.max(n, r.seq), 0);
      const key = await take(k.db, bundle, digits, through);
      k.taken(key, bundle);
    } finally {
      window.clearInterval(look);
      progress.remove();
    }
  });
}

async function act(k: Taking, form: HTMLFormElement, work: () => Promise<void>): Promise<void> {
  const button = form.querySelector<HTMLButtonElement>("button");
  if (!button || button.disabled) return;
  button.disabled = true;
  form.querySelector(".failure")?.remove();
  try {
    await work();
  } catch (error) {
    if (!(await k.failed(error))) button.before(k.parts.failure(reason(k, error)));
  } finally {
    button.disabled = false;
  }
}

/** What to tell somebody about an error. */
function reason(k: Taking, error: unknown): string {
  if (error instanceof Fault && error.status !== 0 && error.message) return error.message;
  return k.parts.t(error instanceof Fault ? "offline.no_net" : "offline.failed");
}

/** Lets the page show what was just put there, before a long calculation. */
export function nextPaint(): Promise<void> {
  return new Promise((resolve) => window.requestAnimationFrame(() => window.setTimeout(resolve, 0)));
}
