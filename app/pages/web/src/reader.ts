// Reads codes in a worker, so that the page stays smooth; on the page's own
// thread where workers fail.

/** What the worker is asked and how it answers; id ties the two together. */
export interface Question {
  id: number;
  wasm: string;
  picture: ImageData;
  thorough: boolean;
}
export interface Answer {
  id: number;
  text?: string;
  error?: string;
}

/** The built decoder's name beside this script; the build puts it in. */
declare const DECODER: string;

type Decode = (picture: ImageData, wasm: string, thorough: boolean) => Promise<string | undefined>;

interface Waiting {
  resolve(text: string | undefined): void;
  reject(error: Error): void;
}

/** The decoder cannot be loaded here: say so, or ask the server. */
export class ReaderError extends Error {}

export class Reader {
  private worker: Worker | undefined;
  private here: Promise<Decode> | undefined; // on this thread
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(private readonly wasm: string) {
    try {
      this.worker = new Worker(decoderURL(), { type: "module" });
      this.worker.onmessage = (event: MessageEvent<Answer>): void => this.answered(event.data);
      this.worker.onerror = (event): void => this.giveUp(event.message);
    } catch {
      this.worker = undefined; // no module workers
    }
  }

  /** The text of the code in the picture, undefined if there is none. Errors: [ReaderError]. */
  async read(picture: ImageData, thorough: boolean): Promise<string | undefined> {
    if (this.worker) {
      try {
        return await this.ask(this.worker, picture, thorough);
      } catch {
        this.giveUp("");
      }
    }
    try {
      this.here ??= import(decoderURL()).then((module: { decode: Decode }) => module.decode);
      return await (await this.here)(picture, this.wasm, thorough);
    } catch (error) {
      this.here = undefined; // the network may be back at the next try
      throw new ReaderError(String(error));
    }
  }

  close(): void {
    this.giveUp("closed");
  }

  private ask(worker: Worker, picture: ImageData, thorough: boolean): Promise<string | undefined> {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      // Copied, not given away: after a failure the picture is read again here.
      worker.postMessage({ id, wasm: this.wasm, picture, thorough } satisfies Question);
    });
  }

  private answered(answer: Answer): void {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer.text);
    else waiting?.reject(new ReaderError(answer.error));
  }

  private giveUp(why: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    for (const waiting of this.waiting.values()) waiting.reject(new ReaderError(why));
    this.waiting.clear();
  }
}

function decoderURL(): string {
  return new URL(DECODER, import.meta.url).href;
}
