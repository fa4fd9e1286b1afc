// The scan page: camera, photo or typing → one request → the whole answer.
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { proving } from "./proof";
import { Words, byID, el, number, when, yuan } from "./dom";

interface Reason {
  zh: string;
  en: string;
}

interface Need {
  id: string;
  category: string;
  qty_units: number;
  promised_units: number;
  given_units: number;
  urgency: number;
  state: string;
  reason: Reason;
  position: number;
  until_ms: number;
  not_served?: { offer: string; title_zh: string; title_en: string; reason: Reason }[];
}

interface Allocation {
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
  pin_required: boolean;
  photo: boolean;
}

interface Answer {
  scan: string;
  shown_by?: { name: string; relation: string; until_ms: number };
  resident: { id: string; name: string; id_masked: string; card_no: string; place: string; birth_year: number; groups?: string[]; score_milli: number };
  needs?: Need[];
  offered?: Allocation[];
  received?: Allocation[];
}

interface Kinds {
  categories: Record<string, { name: string; unit: string; money: boolean }>;
  groups: Record<string, string>;
}

const root = byID("scan");
const camera = byID("camera");
const video = byID<HTMLVideoElement>("video");
const cameraState = byID("camera-state");
const tools = byID("camera-tools");
const startButton = byID<HTMLButtonElement>("camera-start");
const photo = byID<HTMLInputElement>("photo");
const answerBox = byID("answer");
const typed = byID<HTMLFormElement>("typed");

const words = new Words(root.dataset["words"]);
const kinds = JSON.parse(root.dataset["categories"] || '{"categories":{},"groups":{}}') as Kinds;
const csrf = root.dataset["csrf"] ?? "";
const lang = root.dataset["lang"] ?? "zh";
const t = words.t.bind(words);

const maxPhotoBytes = 25 << 20;
const maxPhotoPixels = 40_000_000;
const readerOptions = { formats: ["QRCode" as const], tryHarder: true, tryInvert: false, maxNumberOfSymbols: 1 };

prepareZXingModule({ overrides: { locateFile: (): string => root.dataset["wasm"] ?? "" } });

// ---- camera ----

let stream: MediaStream | undefined;
let session = 0; // each start and stop begins a new one; older loops end

function hint(text: string): void {
  cameraState.textContent = text;
}

function stopCamera(): void {
  session++;
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  video.srcObject = null;
  camera.hidden = true;
  startButton.hidden = false;
}

async function startCamera(): Promise<void> {
  if (!navigator.mediaDevices?.getUserMedia) {
    fail(t(window.isSecureContext ? "scan.no_camera" : "scan.insecure"));
    return;
  }
  stopCamera();
  const mine = session;
  answerBox.replaceChildren();
  camera.hidden = false;
  startButton.hidden = true;
  hint(t("scan.starting"));
  try {
    const got = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 1280 } },
      audio: false,
    });
    if (mine !== session) {
      got.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = got;
    video.srcObject = got;
    await video.play();
  } catch (error) {
    if (mine !== session) return;
    stopCamera();
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError" || name === "SecurityError") fail(t("scan.denied"));
    else if (name === "NotReadableError" || name === "AbortError") fail(t("scan.busy"));
    else fail(t("scan.no_camera"));
    return;
  }
  hint(t("scan.aim"));
  void watch(mine);
}

/** Reads frame after frame until a code is found or the camera stops. */
async function watch(mine: number): Promise<void> {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return;
  while (mine === session) {
    await nextFrame();
    if (mine !== session || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || !video.videoWidth) continue;
    // The middle square is what the page shows; 900 pixels suffice for a card.
    const side = Math.min(video.videoWidth, video.videoHeight);
    const size = Math.min(side, 900);
    canvas.width = canvas.height = size;
    context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, size, size);
    let text: string | undefined;
    try {
      text = await decode(context.getImageData(0, 0, size, size));
    } catch {
      if (mine !== session) return;
      stopCamera();
      fail(t("scan.reader"));
      return;
    }
    if (mine !== session) return;
    if (text === undefined) continue;
    const code = codeIn(text);
    if (!code) {
      hint(t("scan.not_code"));
      continue;
    }
    stopCamera();
    void scan(code);
    return;
  }
}

function nextFrame(): Promise<void> {
  return new Promise((resolve) => window.setTimeout(() => window.requestAnimationFrame(() => resolve()), 60));
}

async function decode(picture: ImageData | Blob): Promise<string | undefined> {
  return (await readBarcodes(picture, readerOptions)).find((found) => found.isValid && found.text)?.text;
}

/** The digits in what was scanned or typed, or "" if it is no code of ours. */
function codeIn(text: string): string {
  const plain = text.trim().replace(/[\s-]/g, "");
  if (/^\d{12}$/.test(plain) || /^\d{193}$/.test(plain)) return plain;
  return /^https?:\/\/[^#]+#(\d{193})$/.exec(text.trim())?.[1] ?? "";
}

// ---- photo ----

async function readPhoto(file: File): Promise<void> {
  stopCamera();
  if (file.size > maxPhotoBytes) {
    fail(t("scan.photo_big"));
    return;
  }
  working(t("scan.photo_reading"));
  let text: string | undefined;
  try {
    text = await decode(await shrunk(file));
  } catch {
    fail(t("scan.reader"));
    return;
  }
  const code = codeIn(text ?? "");
  if (code) await scan(code);
  else fail(t(text ? "scan.not_code" : "scan.photo_none"));
}

/** A photo made small enough to be read fast; turned as the camera says. */
async function shrunk(file: File): Promise<ImageData | Blob> {
  if (!("createImageBitmap" in window)) return file;
  const bitmap = await createImageBitmap(file);
  try {
    if (bitmap.width * bitmap.height > maxPhotoPixels) throw new Error("photo of too many pixels");
    const scale = Math.min(1, 2000 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    if (!context) return file;
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  } finally {
    bitmap.close();
  }
}

// ---- asking the server ----

class Refused extends Error {
  constructor(
    message: string,
    readonly signedOut: boolean,
  ) {
    super(message);
  }
}

/** Posts to the API. Errors are [Refused], in the user's language. */
async function post<T>(path: string, body: unknown, key?: string): Promise<T> {
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    Accept: "application/json",
    "Accept-Language": lang,
    "X-CSRF-Token": csrf,
  };
  if (key) headers["Idempotency-Key"] = key;
  let answer: Response;
  try {
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Refused(t("scan.offline"), false);
  }
  if (answer.ok) return (await answer.json()) as T;
  const problem = (await answer.json().catch(() => ({}))) as { title?: string; detail?: string };
  if (answer.status === 401) throw new Refused(t("scan.signin"), true);
  throw new Refused(problem.detail || problem.title || t("scan.failed"), false);
}

async function scan(code: string): Promise<void> {
  working(t("scan.looking"));
  try {
    const answer = await post<Answer>("/api/v1/scans", { code });
    success();
    show(answer);
  } catch (error) {
    refused(error, () => void scan(code));
  }
}

function refused(error: unknown, again: () => void): void {
  const known = error instanceof Refused;
  fail(known ? error.message : t("scan.failed"), known && error.signedOut ? undefined : again);
}

// ---- what is shown ----

let sound: AudioContext | undefined;

/** A short buzz and a short tone, where the phone can. */
function success(): void {
  navigator.vibrate?.(80);
  try {
    sound ??= new AudioContext();
    const tone = sound.createOscillator();
    const volume = sound.createGain();
    tone.frequency.value = 880;
    volume.gain.setValueAtTime(0.12, sound.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + 0.18);
    tone.connect(volume).connect(sound.destination);
    tone.start();
    tone.stop(sound.currentTime + 0.18);
  } catch {
    // No sound on this phone: the buzz and the answer are enough.
  }
}

function working(text: string): void {
  answerBox.replaceChildren(el("div", { class: "card working", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), el("span", {}, text)));
}

function fail(text: string, again?: () => void): void {
  const actions = el("div", { class: "actions" });
  if (again) actions.append(button("scan.retry", "plain", again));
  answerBox.replaceChildren(el("div", {}, el("p", { class: "failure", role: "alert" }, text), again ? actions : null));
  tools.hidden = false;
  typed.hidden = false;
}

function button(key: string, kind: string, press: () => void): HTMLButtonElement {
  const node = el("button", { type: "button", class: ("button " + kind).trim() }, t(key));
  node.addEventListener("click", press);
  return node;
}

function say(text: { zh: string; en: string } | undefined): string {
  if (!text) return "";
  return (lang === "en" ? text.en : text.zh) || text.zh || text.en;
}

function kindOf(category: string): { name: string; unit: string; money: boolean } {
  return kinds.categories[category] ?? { name: category, unit: "", money: false };
}

function amount(category: string, units: number, unit?: string): string {
  const kind = kindOf(category);
  if (kind.money) return yuan(units);
  let name = lang === "zh" && unit ? unit : kind.unit || unit || "";
  if (lang === "en" && units !== 1 && name === kind.unit && name && !name.endsWith("s")) name += "s";
  return number(units) + (name ? " " + name : "");
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

function show(answer: Answer): void {
  const person = answer.resident;
  const tags = el("p", { class: "tags" }, ...(person.groups ?? []).map((id) => tag(kinds.groups[id] ?? id)));
  const received = (answer.received ?? []).map((a) =>
    el(
      "li",
      { class: "row" },
      el("div", { class: "row-main" }, el("strong", {}, title(a)), el("span", { class: "sub" }, tag(t("kind." + a.provider_kind), "end end-" + a.provider_kind), " " + a.provider_name)),
      el("div", { class: "row-side" }, el("strong", {}, amount(a.category, a.qty_units, a.unit)), el("span", { class: "sub" }, when(a.handed_over_ms, lang, false))),
    ),
  );
  tools.hidden = true;
  typed.hidden = true;
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
    const answer = await fetch(`/api/v1/residents/${encodeURIComponent(resident)}/needs`, { headers: { Accept: "application/json" } });
    if (answer.ok) document.getElementById("needs")?.replaceWith(needs(((await answer.json()) as { items: Need[] }).items));
  } catch {
    // Without a connection they stay as the scan found them.
  }
}

function next(): void {
  answerBox.replaceChildren();
  tools.hidden = false;
  typed.hidden = false;
  typed.reset();
  void startCamera();
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
      actions.before(el("p", { class: "failure", role: "alert" }, error instanceof Refused ? error.message : t("scan.failed")));
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
  const proof = a.pin_required ? proving(a, (changed) => box.replaceWith(promise({ ...a, ...changed }, scan)), csrf, lang, t) : undefined;
  if (proof) box.append(proof.box);
  else if (a.photo) box.append(el("p", { class: "tags" }, tag(t("aid.photo_there"), "tag good")));
  actions.append(button("aid.hand_over", "strong", () => void act("handover", { scan, pin: proof?.pin() ?? "" }, "scan.handed_over")));
  if (!a.accepted) actions.append(button("aid.accept", "", () => void act("accept", {}, "scan.accepted")));
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
  return el(
    "article",
    { class: "aid need" },
    el("div", { class: "aid-head" }, el("h3", {}, kindOf(n.category).name), el("strong", { class: "amount" }, amount(n.category, n.qty_units))),
    el("p", { class: "tags" }, tag(t("state." + n.state), "state state-" + n.state), n.urgency > 2 ? tag(t("urgency." + n.urgency), "tag hot") : null, n.position > 0 ? tag(t("need.position", n.position)) : null),
    say(n.reason) ? el("p", { class: "why" }, say(n.reason)) : null,
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

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// ---- start ----

startButton.addEventListener("click", () => void startCamera());
photo.addEventListener("change", () => {
  const file = photo.files?.[0];
  if (file) void readPhoto(file);
  photo.value = "";
});
typed.addEventListener("submit", (event) => {
  event.preventDefault();
  const code = codeIn(byID<HTMLInputElement>("f-code").value);
  stopCamera();
  if (code) void scan(code);
  else fail(t("scan.not_code"));
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) stopCamera();
});

tools.hidden = false;
// A caseworker whose phone opened a code elsewhere arrives with it in the
// fragment; it leaves the address bar before anything else happens.
const brought = codeIn(window.location.hash.slice(1));
if (window.location.hash) history.replaceState(null, "", window.location.pathname);
if (brought) void scan(brought);
else void startCamera();
