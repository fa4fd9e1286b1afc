// The best time that a phone without a network can tell.

/** What is kept of a clock from one visit to the next. */
export interface Mark {
  offsetMs: number; // the server's time less the phone's, when they last spoke
  highMs: number; // the latest time ever seen
}

/**
 * A clock that does not go back: the server's last word, carried on by the
 * phone's own time and by the time the page has been running, whichever is
 * later. Setting the phone's clock back stops it at most; the next word of the
 * server puts it right in either direction.
 */
export class Clock {
  private startMs: number;
  private startAt: number;

  constructor(
    private kept: Mark,
    private readonly wall: () => number,
    private readonly running: () => number,
  ) {
    this.startMs = kept.highMs;
    this.startAt = running();
  }

  now(): number {
    const run = this.startMs + Math.max(0, this.running() - this.startAt);
    const seen = Math.floor(Math.max(run, this.wall() + this.kept.offsetMs));
    this.kept = { offsetMs: this.kept.offsetMs, highMs: Math.max(this.kept.highMs, seen) };
    return this.kept.highMs;
  }

  /** Takes the server's word for the time. */
  heard(serverMs: number): void {
    this.kept = { offsetMs: serverMs - this.wall(), highMs: serverMs };
    this.startMs = serverMs;
    this.startAt = this.running();
  }

  /** Learns what another tab or the service worker has seen. */
  learn(mark: Mark): void {
    if (mark.highMs <= this.now()) return;
    this.kept = { offsetMs: this.kept.offsetMs, highMs: mark.highMs };
    this.startMs = mark.highMs;
    this.startAt = this.running();
  }

  mark(): Mark {
    this.now();
    return this.kept;
  }
}
