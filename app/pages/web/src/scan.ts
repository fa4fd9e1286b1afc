// The scan page: camera, photo or typing → one request → the whole answer.
// Who is shown how is in view.ts, the queue in batch.ts.
import { post } from "./api";
import { Batch } from "./batch";
import { Camera, decodePhoto, dials, failure, maxPhotoBytes, muted, setMuted, shrunk, success, type CameraState } from "./camera";
import { byID } from "./dom";
import { codeIdentity, codeIn } from "./token";
import { fail, reasonOf, show, t, wasm, working, type Answer } from "./view";

const cameraBox = byID("camera");
const cameraState = byID("camera-state");
const tools = byID("camera-tools");
const startButton = byID<HTMLButtonElement>("camera-start");
const photo = byID<HTMLInputElement>("photo");
const answerBox = byID("answer");
const typed = byID<HTMLFormElement>("typed");
const typedCode = byID<HTMLInputElement>("f-code");
const sound = byID<HTMLButtonElement>("sound");
const modes = byID("modes");

// ---- camera ----

const camera = new Camera({
  video: byID<HTMLVideoElement>("video"),
  wasm,
  continuous: true,
  identity: (text) => codeIdentity(codeIn(text)) || text,
  onText: (text) => {
    const code = codeIn(text);
    if (!code) hint(t("scan.not_code"));
    else if (batch.open) return batch.take(code);
    else {
      stopCamera();
      void scan(code);
    }
    return true;
  },
  onState: (state) => {
    drawDials();
    const words: Record<CameraState, string> = {
      starting: t("scan.starting"), aiming: t("scan.aim"), denied: t("scan.denied"), busy: t("scan.busy"),
      none: t("scan.no_camera"), insecure: t("scan.insecure"), broken: t("scan.reader"),
    };
    if (state === "starting" || state === "aiming") hint(words[state]);
    else {
      stopCamera();
      refuse(words[state]);
    }
  },
});

const drawDials = dials(camera, byID<HTMLButtonElement>("torch"), byID<HTMLInputElement>("zoom"));

function hint(text: string): void {
  cameraState.textContent = text;
}

function startCamera(): void {
  answerBox.replaceChildren();
  cameraBox.hidden = false;
  startButton.hidden = true;
  tools.hidden = typed.hidden = false;
  void camera.start();
}

function stopCamera(): void {
  camera.stop();
  cameraBox.hidden = true;
  startButton.hidden = false;
}

function drawSound(): void {
  sound.setAttribute("aria-pressed", String(!muted()));
}

// ---- photo ----

async function readPhoto(file: File): Promise<void> {
  if (!batch.open) stopCamera();
  if (file.size > maxPhotoBytes) return refuse(t("scan.photo_big"));
  if (!batch.open) working(t("scan.photo_reading"));
  let text: string | undefined;
  try {
    text = await decodePhoto(file, wasm);
  } catch {
    // Without the decoder, or with a kind of picture that this browser does
    // not know, the server reads it.
    try {
      text = await readByServer(file);
    } catch (error) {
      return refuse(reasonOf(error));
    }
  }
  const code = codeIn(text ?? "");
  if (code) take(code);
  else refuse(t(text ? "scan.not_code" : "scan.photo_none"));
}

/** Errors: [Refused]. */
async function readByServer(file: File): Promise<string> {
  const body = new FormData();
  body.append("file", await shrunk(file).catch(() => file), "photo.jpg");
  return (await post<{ code: string }>("/api/v1/scans/photo", body)).code;
}

// ---- one person ----

let turn = 0; // grows with each change between one by one and the queue

async function scan(code: string): Promise<void> {
  const mine = turn;
  working(t("scan.looking"));
  try {
    const answer = await post<Answer>("/api/v1/scans", { code });
    if (mine !== turn) return; // who stands in a queue does not see it
    success();
    tools.hidden = typed.hidden = true;
    show(answer, next);
  } catch (error) {
    if (mine !== turn) return;
    failure();
    refuse(reasonOf(error), () => void scan(code));
  }
}

function next(): void {
  typed.reset();
  startCamera();
}

/** A code that was typed or photographed, or brought along. */
function take(code: string): void {
  if (batch.open) batch.take(code);
  else {
    stopCamera();
    void scan(code);
  }
}

function refuse(text: string, again?: () => void): void {
  tools.hidden = typed.hidden = false;
  if (batch.open) hint(text);
  else fail(text, again);
}

// ---- the queue ----

const batch = new Batch({
  begin: startCamera,
  pause: stopCamera,
  hint,
});

function choose(mode: string): void {
  turn++;
  for (const button of modes.querySelectorAll<HTMLElement>("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset["mode"] === mode));
  document.body.classList.toggle("is-batch", mode === "batch");
  answerBox.replaceChildren();
  if (mode === "batch") {
    stopCamera();
    tools.hidden = typed.hidden = true;
    void batch.show();
  } else {
    batch.hide();
    startCamera();
  }
}

// ---- start ----

startButton.addEventListener("click", startCamera);
sound.addEventListener("click", () => {
  setMuted(!muted());
  drawSound();
  if (!muted()) success();
});
photo.addEventListener("change", () => {
  const file = photo.files?.[0];
  if (file) void readPhoto(file);
  photo.value = "";
});
typed.addEventListener("submit", (event) => {
  event.preventDefault();
  const code = codeIn(typedCode.value);
  if (!code) return refuse(t("scan.not_code"));
  typed.reset();
  take(code);
});
modes.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-mode]");
  if (button && button.getAttribute("aria-pressed") !== "true") choose(button.dataset["mode"] ?? "");
});

modes.hidden = tools.hidden = false;
byID("sent").hidden = true; // the way without scripts
drawSound();
// A caseworker whose phone opened a code elsewhere arrives with it in the
// fragment; it leaves the address bar before anything else happens.
const brought = codeIn(window.location.hash.slice(1));
if (window.location.hash) history.replaceState(null, "", window.location.pathname);
if (brought) void scan(brought);
else if (batch.running) choose("batch");
else startCamera();
