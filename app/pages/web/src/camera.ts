// The camera as a reader of codes: frames, light, zoom, photos, and what one
// feels and hears when a code was taken.
import { Reader, ReaderError } from "./reader";

export { ReaderError };

export type CameraState = "starting" | "aiming" | "denied" | "busy" | "none" | "insecure" | "broken";

export interface CameraOptions {
  video: HTMLVideoElement;
  wasm: string; // where zxing_reader.wasm is
  /**
   * Gets each text that was read. A code that stays before the camera is told
   * once; again only after it was away for some seconds, or when false came
   * back: not now. Where the camera is not continuous, it stops with the first
   * text for which something else came back.
   */
  onText(text: string): boolean | void;
  onState(state: CameraState): void;
  continuous: boolean;
  /** Texts with the same identity are one code, as a screen code that has just changed; the text itself if left out. */
  identity?(text: string): string;
}

// What phones know beyond the DOM's own types.
interface Capabilities extends MediaTrackCapabilities {
  torch?: boolean;
  zoom?: { min: number; max: number; step: number };
  focusMode?: string[];
}
interface Constraint extends MediaTrackConstraintSet {
  torch?: boolean;
  zoom?: number;
  focusMode?: string;
}

const awayMs = 2500; // a code out of sight for so long is told again
const middlePixels = 720; // width of the middle square that is read quickly
const wholePixels = 1280; // width of the whole frame, read thoroughly
const wholeEvery = 4; // so many tries, for small, far and stained codes

export class Camera {
  readonly torch = {
    available: false,
    on: false,
    set: async (on: boolean): Promise<void> => {
      if (!this.torch.available) return;
      await this.constrain({ torch: on });
      this.torch.on = on;
    },
  };
  readonly zoom = {
    available: false,
    min: 1,
    max: 1,
    step: 0.1,
    value: 1,
    set: async (value: number): Promise<void> => {
      if (!this.zoom.available) return;
      const near = Math.min(Math.max(value, this.zoom.min), this.zoom.max);
      await this.constrain({ zoom: near });
      this.zoom.value = near;
    },
  };

  private stream: MediaStream | undefined;
  private track: MediaStreamTrack | undefined;
  private reader: Reader | undefined; // stays for the next start: loading it takes its time
  private session = 0; // each start and stop begins a new one; older loops end
  private wanted = false; // also while the page is hidden
  private readonly seen = new Map<string, number>(); // identity → when it was last before the camera

  constructor(private readonly options: CameraOptions) {
    // A hidden page gives the camera back, and takes it again when it is seen.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.release();
      else if (this.wanted) void this.start();
    });
  }

  async start(): Promise<void> {
    this.release();
    const mine = ++this.session;
    this.wanted = true;
    if (!navigator.mediaDevices?.getUserMedia) {
      this.fail(window.isSecureContext ? "none" : "insecure");
      return;
    }
    this.options.onState("starting");
    this.reader ??= new Reader(this.options.wasm);
    try {
      // Chromium tells of a zoom only where it was asked for; others ignore it.
      const wanted: MediaTrackConstraints & { zoom: boolean } = { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 1280 }, zoom: true };
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (mine !== this.session) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.stream = stream;
      this.track = stream.getVideoTracks()[0];
      this.track?.addEventListener("ended", () => {
        if (mine === this.session) this.fail("busy"); // a call, or another app
      });
      this.options.video.srcObject = stream;
      await this.options.video.play();
      await this.explore();
    } catch (error) {
      if (mine === this.session) this.fail(stateOf(error));
      return;
    }
    if (mine !== this.session) return;
    this.options.onState("aiming");
    void this.watch(mine);
  }

  stop(): void {
    this.wanted = false;
    this.release();
    this.seen.clear();
  }

  private fail(state: CameraState): void {
    this.stop();
    if (state === "broken") {
      this.reader?.close();
      this.reader = undefined; // the next start loads it anew
    }
    this.options.onState(state);
  }

  private release(): void {
    this.session++;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.track = undefined;
    this.options.video.srcObject = null;
    this.torch.available = this.torch.on = this.zoom.available = false;
  }

  /** Finds out what this camera can do, and has it focus by itself. */
  private async explore(): Promise<void> {
    const can = (this.track?.getCapabilities?.() ?? {}) as Capabilities;
    this.torch.available = can.torch === true;
    if (can.zoom && can.zoom.max > can.zoom.min) {
      this.zoom.available = true;
      this.zoom.min = can.zoom.min;
      this.zoom.max = can.zoom.max;
      this.zoom.step = can.zoom.step || 0.1;
      const now = (this.track?.getSettings() as { zoom?: number } | undefined)?.zoom;
      this.zoom.value = now ?? can.zoom.min;
    }
    if (can.focusMode?.includes("continuous")) await this.constrain({ focusMode: "continuous" }).catch(() => undefined);
  }

  private async constrain(constraint: Constraint): Promise<void> {
    await this.track?.applyConstraints({ advanced: [constraint] });
  }

  /** Reads frame after frame until the camera stops. */
  private async watch(mine: number): Promise<void> {
    const { video } = this.options;
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (let n = 1; context && mine === this.session; n++) {
      await nextFrame();
      const reader = this.reader;
      if (mine !== this.session || !reader) return;
      if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || !video.videoWidth) continue;
      const thorough = n % wholeEvery === 0;
      let text: string | undefined;
      try {
        text = await reader.read(thorough ? whole(video, canvas, context) : middle(video, canvas, context), thorough);
      } catch {
        if (mine === this.session) this.fail("broken");
        return;
      }
      if (mine !== this.session) return;
      if (text !== undefined) this.tell(text);
    }
  }

  private tell(text: string): void {
    const key = this.options.identity?.(text) ?? text;
    const now = performance.now();
    const before = this.seen.get(key);
    if (before === undefined || now - before >= awayMs) {
      if (this.options.onText(text) === false) return;
      if (!this.options.continuous) {
        this.stop();
        return;
      }
    }
    this.seen.set(key, now);
  }
}

/**
 * Connects the buttons for light and zoom, which are seen where the phone has
 * them; the function that it returns brings them up to date with the camera.
 */
export function dials(camera: Camera, torch: HTMLButtonElement, zoom: HTMLInputElement): () => void {
  const draw = (): void => {
    torch.hidden = !camera.torch.available;
    torch.setAttribute("aria-pressed", String(camera.torch.on));
    zoom.hidden = !camera.zoom.available;
    zoom.min = String(camera.zoom.min);
    zoom.max = String(camera.zoom.max);
    zoom.step = String(camera.zoom.step);
    zoom.value = String(camera.zoom.value);
  };
  torch.addEventListener("click", () => void camera.torch.set(!camera.torch.on).then(draw, draw));
  zoom.addEventListener("input", () => void camera.zoom.set(Number(zoom.value)).catch(draw));
  return draw;
}

/** The middle square, which is what pages show of the film. */
function middle(video: HTMLVideoElement, canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): ImageData {
  const side = Math.min(video.videoWidth, video.videoHeight);
  canvas.width = canvas.height = Math.min(side, middlePixels);
  context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function whole(video: HTMLVideoElement, canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): ImageData {
  const scale = Math.min(1, wholePixels / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** The next frame that is painted, with a rest for the phone in between. */
function nextFrame(): Promise<void> {
  return new Promise((resolve) => window.setTimeout(() => window.requestAnimationFrame(() => resolve()), 40));
}

function stateOf(error: unknown): CameraState {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "none";
}

// ---- photos ----

export const maxPhotoBytes = 25 << 20;
const maxPhotoPixels = 64_000_000;
const photoSides = [1200, 2400]; // small is fast; large finds small codes

/**
 * The text of the code in a photo, undefined if there is none. Errors:
 * [ReaderError] where the decoder cannot be loaded, others where the file is
 * no picture or too large a one.
 */
export async function decodePhoto(file: File, wasm: string): Promise<string | undefined> {
  if (file.size > maxPhotoBytes) throw new Error("photo of too many bytes");
  const bitmap = await createImageBitmap(file);
  const reader = new Reader(wasm);
  try {
    if (bitmap.width * bitmap.height > maxPhotoPixels) throw new Error("photo of too many pixels");
    const longest = Math.max(bitmap.width, bitmap.height);
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new ReaderError("no canvas");
    for (const [i, side] of photoSides.entries()) {
      const before = photoSides[i - 1];
      if (before !== undefined && longest <= before) break; // it would be the same picture again
      const scale = Math.min(1, side / longest);
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const text = await reader.read(context.getImageData(0, 0, canvas.width, canvas.height), true);
      if (text !== undefined) return text;
    }
    return undefined;
  } finally {
    bitmap.close();
    reader.close();
  }
}

/** A photo made small enough for a slow network. */
export async function shrunk(file: File): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  try {
    const scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/jpeg", 0.85));
  } finally {
    bitmap.close();
  }
}

// ---- what one feels, hears and sees ----

const muteKey = "happycode-muted";
let sound: AudioContext | undefined;

// Browsers let a page sound only after it was touched.
document.addEventListener("pointerdown", () => void audio()?.resume().catch(() => undefined), { once: true });

/** Whether the sound is off, remembered on this phone. */
export function muted(): boolean {
  try {
    return localStorage.getItem(muteKey) === "1";
  } catch {
    return false; // a browser that keeps nothing
  }
}

export function setMuted(off: boolean): void {
  try {
    if (off) localStorage.setItem(muteKey, "1");
    else localStorage.removeItem(muteKey);
  } catch {
    // It holds until the page is left, or not at all; the buzz is still there.
  }
}

/** One short buzz, two rising tones, a green flash. */
export function success(): void {
  navigator.vibrate?.(80);
  flash("ok");
  tones([880, 0, 0.12], [1320, 0.1, 0.2]);
}

/** Three buzzes, two low tones, a red flash: told apart without looking. */
export function failure(): void {
  navigator.vibrate?.([120, 80, 120, 80, 240]);
  flash("bad");
  tones([240, 0, 0.2], [180, 0.25, 0.35]);
}

function audio(): AudioContext | undefined {
  try {
    sound ??= new AudioContext();
  } catch {
    // No sound on this phone: the buzz and the flash are enough.
  }
  return sound;
}

function tones(...list: [hertz: number, after: number, length: number][]): void {
  const on = muted() ? undefined : audio();
  if (!on) return;
  for (const [hertz, after, length] of list) {
    const tone = on.createOscillator();
    const volume = on.createGain();
    const at = on.currentTime + after;
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.15, at);
    volume.gain.exponentialRampToValueAtTime(0.001, at + length);
    tone.connect(volume).connect(on.destination);
    tone.start(at);
    tone.stop(at + length);
  }
}

function flash(kind: "ok" | "bad"): void {
  const light = document.createElement("div");
  light.className = "flash flash-" + kind;
  light.setAttribute("aria-hidden", "true");
  window.setTimeout(() => light.remove(), 500);
  document.body.append(light);
}
