// A provider's counter: the camera, or a photo, puts the code into the page's
// own form. What is owed is shown by the server, with scripts and without.
import { Refused, post } from "./api";
import { Camera, decodePhoto, dials, failure, maxPhotoBytes, shrunk, success, type CameraState } from "./camera";
import { Words, byID, el } from "./dom";
import { codeIdentity, codeIn, voucherIn } from "./token";

const root = document.getElementById("counter");
if (root) scanner(root);

/** A happiness code, a card number or a voucher; "" for anything else. */
function readable(text: string): string {
  return codeIn(text) || voucherIn(text);
}

function scanner(root: HTMLElement): void {
  const words = new Words(root.dataset["words"]);
  const wasm = root.dataset["wasm"] ?? "";
  const cameraBox = byID("camera");
  const startButton = byID<HTMLButtonElement>("camera-start");
  const photo = byID<HTMLInputElement>("photo");
  const form = byID<HTMLFormElement>("typed");
  const field = byID<HTMLInputElement>("f-code");
  let sent = false;

  const hint = (text: string): void => {
    byID("camera-state").textContent = text;
  };
  const refuse = (text: string): void => {
    failure();
    byID("told").replaceChildren(el("p", { class: "failure", role: "alert" }, text));
  };
  /** Sends a code with the form, once. */
  const take = (code: string): void => {
    if (sent) return;
    sent = true;
    success();
    stop();
    field.value = code;
    field.type = "hidden"; // 193 digits are nothing to look at
    form.requestSubmit();
  };

  const camera = new Camera({
    video: byID<HTMLVideoElement>("video"),
    wasm,
    continuous: true,
    identity: (text) => codeIdentity(readable(text)) || text,
    onText: (text) => {
      const code = readable(text);
      if (code) take(code);
      else hint(words.t("scan.not_code"));
      return true;
    },
    onState: (state) => {
      drawDials();
      const said: Record<CameraState, string> = {
        starting: words.t("scan.starting"), aiming: words.t("scan.aim"), denied: words.t("scan.denied"), busy: words.t("scan.busy"),
        none: words.t("scan.no_camera"), insecure: words.t("scan.insecure"), broken: words.t("scan.reader"),
      };
      if (state === "starting" || state === "aiming") hint(said[state]);
      else {
        stop();
        byID("told").append(el("p", { class: "hint" }, said[state])); // the code may be typed
      }
    },
  });
  const drawDials = dials(camera, byID<HTMLButtonElement>("torch"), byID<HTMLInputElement>("zoom"));

  function start(): void {
    byID("told").replaceChildren();
    cameraBox.hidden = false;
    startButton.hidden = true;
    void camera.start();
  }
  function stop(): void {
    camera.stop();
    cameraBox.hidden = true;
    startButton.hidden = false;
  }

  async function readPhoto(file: File): Promise<void> {
    stop();
    if (file.size > maxPhotoBytes) return refuse(words.t("scan.photo_big"));
    let text: string | undefined;
    try {
      text = await decodePhoto(file, wasm);
    } catch {
      const body = new FormData();
      body.append("file", await shrunk(file).catch(() => file), "photo.jpg");
      try {
        text = (await post<{ code: string }>("/api/v1/scans/photo", body)).code;
      } catch (error) {
        return refuse((error instanceof Refused && error.message) || words.t("scan.failed"));
      }
    }
    const code = readable(text ?? "");
    if (code) take(code);
    else refuse(words.t(text ? "scan.not_code" : "scan.photo_none"));
  }

  startButton.addEventListener("click", start);
  photo.addEventListener("change", () => {
    const file = photo.files?.[0];
    if (file) void readPhoto(file);
    photo.value = "";
  });
  byID("camera-tools").hidden = false;
  // What was refused stays in sight until somebody scans again.
  if (!byID("told").querySelector(".failure")) start();
}
