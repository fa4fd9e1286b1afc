// The code that changes every 30 seconds, on the resident's page and on the
// page that shows nothing else. It lives on a bundle of codes fetched
// beforehand, so that a quarter of an hour without a network does not matter.
import { type Bundle, type Reading, ServerClock, bundleOf, pause, shown } from "./clock";
import { Words, byID } from "./dom";
import { forgetCodes, keep, kept, leave, left, whenLeft } from "./kept";
import { symbol } from "./symbol";

const root = byID("live");
const paper = byID("live-paper");
const canvas = byID<HTMLCanvasElement>("live-code");
const blank = byID("live-blank");
const next = byID("live-next");
const trouble = byID("live-trouble");
const bar = document.getElementById("live-left");
const t = ((words) => words.t.bind(words))(new Words(root.dataset["words"]));

let bundle: Bundle | undefined;
let clock: ServerClock | undefined;
let refused = ""; // what the server says when there is no code to show
let failures = 0; // in a row
let askedAt = -Infinity; // steady ms
let asking = false;
let away = false; // out of sight since the last reading

const read = (): Reading => ({ wall: Date.now(), steady: performance.now() });

// ---- the bundle ----

async function ask(): Promise<void> {
  if (asking || left()) return;
  asking = true;
  const abort = new AbortController();
  const timer = window.setTimeout(() => abort.abort(), 10_000);
  const asked = read();
  askedAt = asked.steady;
  try {
    const answer = await fetch("/api/v1/me/codes", { headers: { Accept: "application/json" }, cache: "no-store", signal: abort.signal });
    if (answer.ok) {
      const fresh = bundleOf(await answer.json());
      if (left()) return;
      if (!fresh) throw new Error("not a bundle");
      bundle = fresh;
      clock = ServerClock.from(fresh.server_ms, asked, read());
      keep(bundle, clock.keep());
      refused = "";
      failures = 0;
      nameOwner();
    } else if (left()) {
      return;
    } else if (answer.status === 401) {
      leave();
      window.location.replace("/signin?next=" + encodeURIComponent(window.location.pathname));
    } else if (answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429) {
      const problem = (await answer.json().catch(() => ({}))) as { title?: string; detail?: string };
      drop();
      refused = problem.detail || problem.title || t("live.none");
      failures = 0;
    } else {
      failures++;
    }
  } catch {
    failures++;
  } finally {
    window.clearTimeout(timer);
    asking = false;
    look();
  }
}

function drop(): void {
  bundle = undefined;
  clock = undefined;
  forgetCodes();
}

function nameOwner(): void {
  const name = document.getElementById("live-name");
  const line = document.getElementById("live-no-line");
  const no = document.getElementById("live-no");
  if (!bundle || !name || !line || !no) return;
  name.textContent = bundle.name;
  no.textContent = bundle.card_no.replace(/(\d{4})(?=\d)/g, "$1 ");
  line.hidden = false;
}

// ---- the picture ----

let drawn = "";

/** Draws a text as wide as there is room. */
function draw(text: string): void {
  const ratio = window.devicePixelRatio || 1;
  const top = paper.getBoundingClientRect().top + window.scrollY;
  const below = window.innerHeight > 500 ? 90 : 10; // for the way out of the large display, where there is room for it
  const high = document.body.classList.contains("elder") ? Math.max(200, Math.floor(window.innerHeight - top - below)) : 420;
  const room = Math.min(paper.clientWidth, high);
  const mark = `${text} ${room} ${ratio}`;
  if (mark === drawn) return;
  const picture = symbol(text, room * ratio);
  canvas.width = canvas.height = picture.pixels;
  canvas.style.width = canvas.style.height = `${picture.pixels / ratio}px`;
  const context = canvas.getContext("2d");
  if (!context) return;
  picture.paint(context);
  drawn = mark;
}

function put(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

let keptToken = "";
let looking = 0; // the timer

/** Takes everything off the page of whoever has left. */
function wipe(): void {
  window.clearInterval(looking);
  bundle = undefined;
  clock = undefined;
  canvas.width = canvas.height = 0;
  canvas.hidden = paper.hidden = trouble.hidden = true;
  blank.hidden = false;
  for (const id of ["live-name", "live-no"]) document.getElementById(id)?.replaceChildren();
  document.getElementById("live-no-line")?.setAttribute("hidden", "");
}

/** Shows what is to be seen at this moment, and asks for more in time. */
function look(): void {
  if (left()) {
    wipe();
    return;
  }
  const at = read();
  const gone = away;
  away = document.hidden;
  const serverMs = clock?.now(at, gone);
  const now = bundle && serverMs !== undefined ? shown(bundle, serverMs) : undefined;
  const token = now?.token;
  let message = refused;
  if (bundle && clock && now && token) {
    paper.hidden = canvas.hidden = false; // before it is measured
    blank.hidden = true;
    draw(bundle.prefix + token);
    put(next, t("live.next", Math.max(1, Math.ceil(now.nextMs / 1000))));
    bar?.setAttribute("width", ((100 * now.nextMs) / (bundle.step_s * 1000)).toFixed(2));
    if (token !== keptToken) keep(bundle, clock.keep());
    keptToken = token;
    const minutes = Math.floor(now.leftMs / 60_000);
    if (failures > 0) message = minutes < 1 ? t("live.offline_last") : t("live.offline", minutes);
  } else {
    put(next, "\u200b");
    bar?.setAttribute("width", "0");
    if (bundle && now) {
      message = message || t("live.over");
      if (now.leftMs <= 0) forgetCodes();
    } else if (!message && failures > 0) message = t("live.none");
  }
  put(trouble, message);
  trouble.hidden = message === "";
  document.body.classList.toggle("no-code", !token && message !== "");
  if (!token) {
    canvas.hidden = true;
    blank.hidden = false;
    paper.hidden = message !== "";
  }
  if (!document.hidden && at.steady - askedAt >= pause(failures)) void ask();
}

// ---- the phone ----

interface Lock {
  release(): Promise<void>;
}

let lock: Lock | undefined;

/** Keeps the screen on while the page is looked at, where a phone can. */
async function stayAwake(): Promise<void> {
  const wakeLock = (navigator as { wakeLock?: { request(kind: "screen"): Promise<Lock> } }).wakeLock;
  if (!wakeLock || document.hidden || !document.querySelector("[data-awake]")) return;
  try {
    await lock?.release();
    lock = await wakeLock.request("screen");
  } catch {
    // A phone that is low on battery says no.
  }
}

function seen(): void {
  away = true;
  look();
  if (document.hidden) return;
  void stayAwake();
  if (read().steady - askedAt > 5_000) void ask();
}

const elderKey = "happycode.elder";

function large(on: boolean): void {
  document.body.classList.toggle("elder", on);
  try {
    if (on) localStorage.setItem(elderKey, "1");
    else localStorage.removeItem(elderKey);
  } catch {
    // It is not remembered, then.
  }
  look();
}

function elderMode(): void {
  if (!document.getElementById("show")) return;
  const wanted = new URLSearchParams(window.location.search).get("elder");
  let before: string | null = null;
  try {
    before = localStorage.getItem(elderKey);
  } catch {
    // Without storage the address alone says it.
  }
  large(wanted === null ? before === "1" : wanted === "1");
  for (const [selector, on] of [[".elder-on", true], [".elder-off", false]] as const) {
    document.querySelector(selector)?.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(null, "", "/me/code" + (on ? "?elder=1" : ""));
      large(on);
      window.scrollTo(0, 0);
    });
  }
}

const before = kept();
if (before) {
  clock = ServerClock.again(before.clock, read());
  if (clock) bundle = before.bundle;
  else forgetCodes();
}
root.hidden = false;
document.getElementById("live-plain")?.remove();
nameOwner();
elderMode();
void stayAwake();
void ask();
looking = window.setInterval(look, 250);
document.addEventListener("visibilitychange", seen);
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  if (left()) window.location.reload();
  else seen();
});
window.addEventListener("online", () => void ask());
window.addEventListener("resize", look);
whenLeft(() => {
  look();
  window.setTimeout(() => window.location.reload(), 1000); // the server has heard of it by then
});
