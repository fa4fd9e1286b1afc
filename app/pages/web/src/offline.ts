// The page for work without a network: take a village along, hand over, bring
// the handovers back. What may be given is in offline/rules.ts, what the phone
// keeps in offline/store.ts.
import { Camera, type CameraState, decodePhoto, dials, failure, success } from "./camera";
import { byID, el, number } from "./dom";
import type { Clock } from "./offline/clock";
import { nextPaint, showTake } from "./offline/take";
import { mindStanding } from "./offline/leaving";
import { refresh, unlock } from "./offline/lock";
import { Parts } from "./offline/parts";
import { backOff, waiting } from "./offline/queue";
import { newID, sign } from "./offline/record";
import { type Refusal, Roster, type Thing } from "./offline/rules";
import { Fault, type Me, Server } from "./offline/server";
import { type Shown, sheet } from "./offline/sheet";
import { type DB, type Kept, ListGone, Overtaken, type Row, type Singles, append, expire, forget, givenBy, keepClock, openClock, openHandover, openStore, rows, sealHandover, single, takeNote, wipe } from "./offline/store";
import { synchronise } from "./offline/sync";
import { syncTag } from "./offline/worker";
import type { Bundle } from "./offline/types";
import { type KeySet, cardNumber, extract, keysOf, verify } from "./token";

const root = byID("offline");
const statusBox = byID("off-status");
const noteBox = byID("off-note");
const main = byID("off-main");
const cameraBox = byID("camera");
const cameraState = byID("camera-state");
const cameraDials = byID("camera-dials");
const parts = new Parts(root);
const { t } = parts;
const wasm = root.dataset["wasm"] ?? "";

const idleMs = 15 * 60_000; // then the list is locked again
const tickMs = 5_000;
const staleMs = 10 * 60_000; // then the list is fetched anew where there is a network
const soonMs = 2_000; // what was handed over while the last ones were on their way
const calmMs = 60_000; // between looks at the server when nothing waits

/** The open list; nothing of it is left when it is locked. */
interface Work {
  key: CryptoKey;
  roster: Roster;
  keys: KeySet;
}

type Reach = "unknown" | "yes" | "no" | "signed_out";

let db: DB;
let clock: Clock;
let device: Singles["device"] | undefined;
let lease: Singles["lease"] | undefined;
let queue: Row[] = [];
let handovers = new Map<string, Kept>();
let work: Work | undefined;
let me: Me | undefined;
let reach: Reach = navigator.onLine ? "unknown" : "no";
let syncing = false;
let failures = 0; // of reaching the server, in a row
let timer = 0;
let touched = performance.now();
let view: "take" | "unlock" | "work" | "person" | "message" = "message";

const server = new Server(parts.lang, (ms) => {
  clock.heard(ms);
  void keepClock(db, clock, true);
});

// ---- what the phone keeps ----

async function load(): Promise<void> {
  device = await single(db, "device");
  lease = await single(db, "lease");
  queue = await rows(db);
  const known = handovers;
  handovers = new Map();
  for (const row of queue) {
    if (device) handovers.set(row.id, known.get(row.id) ?? (await openHandover(device.queueKey, row)));
  }
  if (!lease) work = undefined;
  work?.roster.learn(givenBy(queue, handovers), lease?.throughSeq ?? 0);
}

function open(key: CryptoKey, bundle: Bundle): void {
  work = { key, roster: new Roster(bundle), keys: keysOf(bundle.keys) };
}

async function destroy(why: string): Promise<void> {
  await wipe(db);
  work = undefined;
  await load();
  note(t(why), "failure");
  await home();
}

/** Looks whether the list's time is over, or another window destroyed it. */
async function tick(): Promise<void> {
  await keepClock(db, clock);
  if (await expire(db)) return destroy("offline.list_over");
  const held = await single(db, "lease");
  if (lease && held?.id !== lease.id) {
    await load();
    await home();
    return;
  }
  if (work && performance.now() - touched > idleMs) lock();
  showStatus();
}

function lock(): void {
  work = undefined;
  note("");
  void home();
}

// ---- the server ----

/** Finds out who is signed in, and brings the server what it does not have. */
async function contact(): Promise<void> {
  if (!navigator.onLine) {
    reach = "no";
    showStatus();
    return;
  }
  try {
    me = await server.me();
    reach = "yes";
    failures = 0;
    if (view === "take" || view === "message") await home();
    await synchroniseNow();
  } catch (error) {
    await failed(error);
    schedule();
  }
}

async function synchroniseNow(): Promise<void> {
  if (syncing || !device || (me && me.account !== device.account) || (!lease && waiting(queue) === 0)) return;
  syncing = true;
  showStatus();
  try {
    const done = await synchronise(db, server);
    reach = "yes";
    failures = 0;
    if (done) {
      await load();
      if (lease && done.lease?.id !== lease.id) await destroy("offline.lease_ended");
      else if (work && (done.sent > 0 || clock.now() - work.roster.bundle.server_ms > staleMs)) await renew();
      if (done.sent > 0) {
        const flagged = queue.filter((r) => r.state === "flagged" || r.state === "refused").length;
        note(flagged > 0 ? t("offline.synced_flagged", flagged) : t("offline.synced"), flagged > 0 ? "failure" : "done");
      }
    }
  } catch (error) {
    await failed(error);
  } finally {
    syncing = false;
    schedule();
    refreshQueue();
  }
}

/** Fetches the list as it stands now, with what came in since counted. */
async function renew(): Promise<void> {
  if (!device || !work) return;
  const through = queue.filter((r) => r.state !== "waiting").reduce((n, r) => Math.max(n, r.seq), 0);
  const bundle = await server.lease(device.id);
  if (!work) return;
  await refresh(db, work.key, bundle, through);
  open(work.key, bundle);
  await load();
}

/** Deals with a request that failed; says whether the page changed for it. */
async function failed(error: unknown): Promise<boolean> {
  if (error instanceof ListGone) {
    await load();
    await home();
    return true;
  }
  if (!(error instanceof Fault)) return false;
  switch (true) {
    case error.status === 0:
      reach = "no";
      failures++;
      break;
    case error.code === "device_lost":
      await lost();
      return true;
    case error.status === 401:
      reach = "signed_out";
      me = undefined;
      if (device && lease && (await mindStanding(db, device.id))) {
        await destroy("offline.account_ended");
        return true;
      }
      break;
    case error.status === 404 && lease !== undefined && view !== "take":
      await destroy("offline.lease_ended");
      return true;
    default:
      failures++;
  }
  showStatus();
  if (view === "take" && reach !== "yes") {
    await home();
    return true;
  }
  return false;
}

/** The server has cut this device off. */
async function lost(): Promise<void> {
  const unsent = waiting(queue);
  await forget(db);
  work = undefined;
  await load();
  note(t("offline.device_lost") + (unsent > 0 ? t("offline.device_lost_unsent", unsent) : ""), "failure");
  await home();
}

/** Asks the browser to wake the service worker once there is a network, where it can. */
async function wakeLater(): Promise<void> {
  const worker = (await navigator.serviceWorker?.ready) as (ServiceWorkerRegistration & { sync?: { register(tag: string): Promise<void> } }) | undefined;
  await worker?.sync?.register(syncTag).catch(() => undefined);
}

function schedule(): void {
  window.clearTimeout(timer);
  if (!device || (!lease && waiting(queue) === 0)) return;
  timer = window.setTimeout(() => void contact(), failures > 0 ? backOff(failures, Math.random()) : waiting(queue) > 0 ? soonMs : calmMs);
}

// ---- handing over ----

async function give(shown: Shown, thing: Thing, pin: boolean): Promise<Refusal | undefined> {
  // Another window may have written since: read, decide and write again until
  // nothing came in between.
  for (let tries = 0; tries < 20; tries++) {
    await load();
    if (!work || !device || !lease) return "list_over";
    const nowMs = clock.now();
    const why = work.roster.refusal(shown.person, thing.item.allocation, thing.need, shown.how, shown.code, pin, nowMs);
    if (why) return why;
    const seq = ((await single(db, "seq")) ?? 0) + 1;
    const handover = await sign(
      {
        id: newID(), seq, lease: lease.id, allocation: thing.item.allocation, resident: shown.person.resident, need: thing.need,
        code: shown.code?.id ?? "", how: shown.how, token: shown.token, pin, qty_units: thing.item.qty_units, given_ms: nowMs,
      },
      device.keys.privateKey,
    );
    try {
      await append(db, await sealHandover(device.queueKey, handover, thing.item), lease.id);
    } catch (error) {
      if (error instanceof Overtaken) continue;
      if (error instanceof ListGone) return "list_over";
      throw error;
    }
    await load();
    success();
    showStatus();
    if (reach === "yes") void synchroniseNow();
    else void wakeLater();
    return undefined;
  }
  throw new Overtaken();
}

// ---- recognising people ----

const camera = new Camera({
  video: byID<HTMLVideoElement>("video"),
  wasm,
  continuous: true,
  onText: (text) => void scanned(text),
  onState: (state: CameraState) => {
    const fine = state === "starting" || state === "aiming";
    cameraState.textContent = fine ? t("offline_camera." + state) : "";
    cameraBox.hidden = !fine;
    drawDials();
    cameraDials.hidden = !fine || !(camera.torch.available || camera.zoom.available);
    if (!fine) note(t("offline_camera." + state), "failure");
  },
});

const drawDials = dials(camera, byID<HTMLButtonElement>("torch"), byID<HTMLInputElement>("zoom"));

function startCamera(): void {
  note("");
  cameraBox.hidden = false;
  void camera.start();
  cameraBox.scrollIntoView({ block: "center" });
}

function stopCamera(): void {
  camera.stop();
  cameraBox.hidden = cameraDials.hidden = true;
}

async function scanned(text: string): Promise<void> {
  if (!work || (view !== "work" && view !== "person")) return;
  const digits = extract(text);
  const nowMs = clock.now();
  const { verdict, token } = digits ? await verify(digits, work.keys, nowMs) : { verdict: "not_code" as const, token: undefined };
  if (!work) return;
  if (verdict !== "ok" || !token || !digits) return refuse("offline_code." + verdict);
  const found = work.roster.byCode(token.codeID, nowMs);
  if (found.as !== "person") return refuse("offline_found." + found.as);
  success();
  showPerson({ person: found.person, how: "scan", code: found.code, token: digits });
}

function refuse(key: string): void {
  failure();
  note(t(key), "failure");
}

async function photographed(file: File): Promise<void> {
  stopCamera();
  note(t("offline.photo_reading"));
  try {
    const text = await decodePhoto(file, wasm);
    if (text) await scanned(text);
    else note(t("offline.photo_none"), "failure");
  } catch {
    note(t("offline.photo_none"), "failure");
  }
}

function lookUp(typed: string, hits: HTMLElement): void {
  if (!work) return;
  note("");
  stopCamera();
  hits.replaceChildren();
  if (extract(typed)) return void scanned(typed);
  const card = cardNumber(typed);
  const found = card ? work.roster.byCard(card) : undefined;
  if (found) return showPerson({ person: found, how: "card_no", code: work.roster.ownCode(found), token: "" });
  if (/^[\d\s-]+$/.test(typed.trim())) return note(t(card ? "offline_found.unknown" : "offline.card_wrong"), "failure");
  const people = work.roster.byName(typed).slice(0, 50);
  if (people.length === 0) return note(t("offline.name_none"), "failure");
  hits.append(
    el(
      "ul",
      { class: "rows card" },
      ...people.map((person) => {
        const row = el("button", { type: "button", class: "row off-hit" }, el("span", { class: "row-main" }, el("strong", {}, person.name), el("span", { class: "sub" }, [person.place, person.birth_year ? t("offline.born", person.birth_year) : ""].filter(Boolean).join(" · "))));
        row.addEventListener("click", () => showPerson({ person, how: "word", code: undefined, token: "" }));
        return el("li", {}, row);
      }),
    ),
  );
}

// ---- what is shown ----

function note(text: string, kind: "done" | "failure" | "notice" = "notice"): void {
  noteBox.replaceChildren(...(text ? [el("p", { class: kind + (kind === "notice" ? " notice-pending" : "") }, text)] : []));
  if (text) noteBox.scrollIntoView({ block: "nearest" });
}

function showStatus(): void {
  const unsent = waiting(queue);
  const nowMs = clock.now();
  const state = syncing ? "syncing" : reach;
  const net = el("p", { class: "off-net off-net-" + state, id: "off-net" }, t("offline_net." + state), reach === "signed_out" ? el("a", { href: "/signin?next=/offline" }, t("offline.signin")) : null);
  if (!lease) {
    statusBox.replaceChildren(net, unsent > 0 ? el("p", { class: "notice notice-pending" }, t("offline.unsent", unsent)) : "");
    return;
  }
  if (view === "person") {
    // The person is what counts now.
    statusBox.replaceChildren(el("section", { class: "card off-line" }, net, el("p", {}, t("offline.unsynced_short", unsent))));
    return;
  }
  const figure = (value: string, key: string, kind = ""): HTMLElement => el("div", { class: ("figure " + kind).trim() }, el("strong", {}, value), t(key));
  const listed = work?.roster.bundle.server_ms ?? 0;
  statusBox.replaceChildren(
    el(
      "section",
      { class: "card off-status" },
      el("p", { class: "off-place" }, lease.place),
      el("p", { class: "off-until" }, t("offline.until", parts.when(lease.until_ms), parts.left(lease.until_ms - nowMs))),
      el(
        "div",
        { class: "figures" },
        figure(number(lease.people), "offline.people"),
        figure(work ? number(work.roster.left(nowMs)) : "–", "offline.left"),
        figure(number(unsent), "offline.unsynced", unsent > 0 ? "hot" : "good"),
      ),
      net,
      listed ? el("p", { class: "sub" }, t("offline.list_age", parts.when(listed))) : null,
    ),
  );
}

/** Shows what fits the state of things. */
async function home(): Promise<void> {
  stopCamera();
  if (work) return showWork();
  if (lease) return showUnlock();
  view = "take";
  showStatus();
  if (device && me && me.account !== device.account && waiting(queue) > 0) {
    main.replaceChildren(el("p", { class: "failure" }, t("offline.not_yours", waiting(queue))));
  } else if (me && reach === "yes") {
    await showTake({
      db, server, parts, me, box: main, failed,
      taken: (key, bundle) => {
        open(key, bundle);
        note(t("offline.taken"), "done");
        void load().then(() => {
          showWork();
          schedule();
        });
      },
    });
  } else if (reach !== "unknown") {
    main.replaceChildren(
      el("div", { class: "empty" }, el("p", { class: "empty-title" }, t("offline.nothing_here")), el("p", {}, t(reach === "signed_out" ? "offline.signin_first" : "offline.net_first")), el("p", {}, parts.button("offline.retry", "", () => void contact()))),
    );
  } else main.replaceChildren(parts.busy(t("offline.asking")));
}

function showUnlock(): void {
  view = "unlock";
  showStatus();
  const digits = parts.digits();
  const form = el("form", { class: "card form", id: "off-unlock" }, parts.field("off-pin", "offline.pin", digits, t("offline.pin_hint")), el("button", { class: "button strong wide" }, t("offline.unlock")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void tryPIN();
  });
  const tryPIN = async (): Promise<void> => {
    const button = form.querySelector("button");
    if (!button || button.disabled) return;
    button.disabled = true;
    form.querySelector(".failure")?.remove();
    await nextPaint();
    try {
      if (await expire(db)) return await destroy("offline.list_over");
      const got = await unlock(db, digits.value);
      if ("left" in got) {
        if (got.left === 0) return await destroy("offline.tries_spent");
        button.before(parts.failure(t("offline.wrong_pin", got.left)));
        digits.value = "";
        digits.focus();
        return;
      }
      touched = performance.now();
      open(got.key, got.bundle);
      note("");
      await load();
      showWork();
      if (reach === "yes") {
        void renew().then(refreshQueue, failed);
      }
    } catch {
      button.before(parts.failure(t("offline.failed")));
    } finally {
      button.disabled = false;
    }
  };
  main.replaceChildren(form, queueBox());
  digits.focus();
}

function showWork(): void {
  view = "work";
  showStatus();
  const find = el("input", { type: "search", autocomplete: "off", enterkeyhint: "search" });
  const hits = el("div", { id: "off-hits" });
  const search = el("form", { class: "card form", id: "off-search" }, parts.field("off-find", "offline.find", find), el("button", { class: "button wide" }, t("offline.look_up")));
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    lookUp(find.value, hits);
  });
  const photo = el("input", { type: "file", accept: "image/*", capture: "environment", id: "off-photo" });
  photo.addEventListener("change", () => {
    const file = photo.files?.[0];
    if (file) void photographed(file);
    photo.value = "";
  });
  main.replaceChildren(
    el("div", { class: "off-scan" }, parts.button("offline.scan", "strong wide off-big", startCamera, { id: "off-scan" }), el("label", { class: "button plain file-button" }, photo, el("span", {}, t("offline.photo")))),
    search,
    hits,
    queueBox(),
    el("div", { class: "actions" }, parts.button("offline.lock", "plain", lock), returning()),
  );
}

function showPerson(shown: Shown): void {
  if (!work) return;
  view = "person";
  stopCamera();
  showStatus();
  note("");
  main.replaceChildren(
    sheet(
      {
        db, parts, give,
        roster: () => work?.roster ?? new Roster({ lease: { id: "", device: "", division: "", place: "", from_ms: 0, until_ms: 0, sync_until_ms: 0, items: 0, given: 0 }, server_ms: 0, pin_above_fen: 0, keys: {}, people: [], spares: [], disputed: [] }),
        now: () => clock.now(),
        done: (again) => {
          void home().then(() => {
            if (again) startCamera();
          });
        },
      },
      shown,
    ),
  );
  main.focus({ preventScroll: true });
  main.scrollIntoView({ block: "start" });
}

/** What was handed over, the latest first, and what became of it. */
function queueBox(): HTMLElement {
  if (queue.length === 0) return el("section", { id: "off-queue" });
  const row = (r: Row): HTMLElement => {
    const kept = handovers.get(r.id);
    const h = kept?.record;
    const person = h ? work?.roster.person(h.resident) : undefined;
    const what = work && h ? `${parts.title(kept.what)} ${parts.amount(kept.what, h.qty_units)}` : t("offline.number", r.seq);
    const kind = r.state === "accepted" || r.state === "known" ? "tag good" : r.state === "waiting" ? "state state-waiting" : "tag hot";
    return el(
      "li",
      { class: "off-row" },
      el("div", { class: "row" }, el("div", { class: "row-main" }, el("strong", {}, (person ? [...person.name][0] + "＊ " : "") + what), el("span", { class: "sub" }, h ? parts.when(h.given_ms) : "")), el("div", { class: "row-side" }, el("span", { class: kind }, t("offline_state." + r.state)))),
      r.reason && kind === "tag hot" ? el("p", { class: "why" }, parts.say(r.reason)) : null,
    );
  };
  return el(
    "section",
    { id: "off-queue" },
    el("h2", {}, t("offline.queue", queue.length)),
    el("ul", { class: "rows card" }, ...[...queue].sort((a, b) => b.seq - a.seq).map(row)),
    waiting(queue) > 0 ? el("div", { class: "actions" }, parts.button("offline.sync", "", () => void contact(), { id: "off-sync" })) : null,
  );
}

/** Shows what changed by itself, and leaves what somebody is typing. */
function refreshQueue(): void {
  showStatus();
  document.getElementById("off-queue")?.replaceWith(queueBox());
}

/** Gives back what was not handed over, after a second press. */
function returning(): HTMLElement {
  const sure = parts.button("offline.return_sure", "danger", () => void giveBack(), { id: "off-return" });
  const giveBack = async (): Promise<void> => {
    if (sure.disabled) return;
    sure.disabled = true;
    try {
      await contact();
      if (reach !== "yes" || waiting(queue) > 0 || !device) {
        note(t("offline.return_later"), "failure");
        return;
      }
      if (!lease) return;
      await server.giveBack(device.id);
      await wipe(db);
      work = undefined;
      await load();
      note(t("offline.returned"), "done");
      await home();
    } catch (error) {
      if (!(await failed(error))) note(error instanceof Fault && error.message ? error.message : t("offline.failed"), "failure");
    } finally {
      sure.disabled = false;
    }
  };
  return el("details", { class: "decline" }, el("summary", { class: "button plain" }, t("offline.return")), el("form", {}, el("p", {}, t("offline.return_text")), sure));
}

// ---- start ----

async function start(): Promise<void> {
  if (!window.isSecureContext || !crypto.subtle || !("indexedDB" in window)) {
    main.replaceChildren(parts.failure(t("offline.insecure")));
    return;
  }
  try {
    db = await openStore();
  } catch {
    main.replaceChildren(parts.failure(t("offline.no_store")));
    return;
  }
  clock = await openClock(db);
  await expire(db);
  await load();
  const why = await takeNote(db);
  if (why) note(t(why), "failure");
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, () => (touched = performance.now()), { passive: true });
  window.addEventListener("online", () => {
    failures = 0;
    void contact();
  });
  window.addEventListener("offline", () => {
    reach = "no";
    if (view === "take") void home();
    else showStatus();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void tick();
  });
  window.setInterval(() => void tick(), tickMs);
  await home();
  await contact();
}

void start();
