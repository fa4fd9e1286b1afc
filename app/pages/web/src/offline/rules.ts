// Who somebody is and what they may be given, decided from what was taken
// along. No I/O: the time and what was given come in.
import type { State } from "./queue";
import type { Bundle, Code, How, Item, Need, Person } from "./types";

/** What the device has given, as far as the rules need it. */
export interface Given {
  seq: number;
  state: State;
  allocation: string;
  resident: string;
  need: string;
  qty_units: number;
}

export type Found =
  | { as: "person"; person: Person; code: Code }
  | { as: "revoked" } // the code was replaced or withdrawn
  | { as: "over" } // a carer's code whose time has ended
  | { as: "unknown" }; // nobody on this list

/** One thing that may be given, and to what end. */
export interface Thing {
  item: Item;
  need: string; // of a spare; "" for what is theirs
  given: boolean;
  portions: number; // of a spare: how many alike are left
}

/** Why something may not be given. */
export type Refusal = "list_over" | "given" | "not_here" | "item_over" | "no_need" | "no_room" | "pin" | "no_pin" | "by_name";

export class Roster {
  private readonly people = new Map<string, Person>();
  private readonly theirs = new Map<string, { item: Item; person: string }>();
  private readonly spare = new Map<string, Item>();
  private given = new Map<string, Given>();
  private throughSeq = 0;

  constructor(readonly bundle: Bundle) {
    for (const p of bundle.people ?? []) {
      this.people.set(p.resident, p);
      for (const item of p.items ?? []) this.theirs.set(item.allocation, { item, person: p.resident });
    }
    for (const item of [...(bundle.spares ?? []), ...(bundle.disputed ?? [])]) this.spare.set(item.allocation, item);
    this.learn([], 0);
  }

  /**
   * Learns what was given. The bundle's needs already count what the server
   * accepted up to seq. What waits for a person, or was refused, they do not
   * count, and it was handed over all the same; of the former the bundle tells
   * a phone that has lost its rows.
   */
  learn(given: Given[], throughSeq: number): void {
    const disputed = (this.bundle.disputed ?? []).map((d): Given => ({ ...d, seq: 0, state: "flagged" }));
    this.given = new Map([...disputed, ...given].map((g) => [g.allocation, g]));
    this.throughSeq = throughSeq;
  }

  person(resident: string): Person | undefined {
    return this.people.get(resident);
  }

  /** The item of an allocation on this device. */
  item(allocation: string): Item | undefined {
    return this.theirs.get(allocation)?.item ?? this.spare.get(allocation);
  }

  over(nowMs: number): boolean {
    return nowMs >= this.bundle.lease.until_ms;
  }

  byCode(codeID: string, nowMs: number): Found {
    for (const person of this.people.values()) {
      if (person.revoked?.includes(codeID)) return { as: "revoked" };
      const code = person.codes?.find((c) => c.id === codeID);
      if (code) return code.until_ms > 0 && nowMs >= code.until_ms ? { as: "over" } : { as: "person", person, code };
    }
    return { as: "unknown" };
  }

  /** The person whose own card has this number. */
  byCard(cardNo: string): Person | undefined {
    for (const person of this.people.values()) if (person.card_no === cardNo) return person;
    return undefined;
  }

  /** The code on a person's own card, not a carer's. */
  ownCode(person: Person): Code | undefined {
    return person.codes?.find((c) => c.carer_name === "");
  }

  /** The hash of the PIN that is asked: the carer's where a carer shows the code. */
  pinHash(person: Person, code: Code | undefined): string {
    return code?.carer_name ? code.pin_hash : person.pin_hash;
  }

  /** People whose name holds what was typed, by name. */
  byName(typed: string): Person[] {
    const wanted = typed.trim().toLowerCase();
    if (!wanted) return [];
    return [...this.people.values()].filter((p) => p.name.toLowerCase().includes(wanted)).sort((a, b) => a.name.localeCompare(b.name, "zh") || a.resident.localeCompare(b.resident));
  }

  /** How many things on this device nobody has been given yet. */
  left(nowMs: number): number {
    const free = (item: Item): boolean => !this.given.has(item.allocation) && !past(item, nowMs);
    return [...this.theirs.values()].filter((x) => free(x.item)).length + [...this.spare.values()].filter(free).length;
  }

  /** What is there for somebody: their own first, then spares that fit. */
  for(person: Person, nowMs: number): Thing[] {
    const own = (person.items ?? []).map((item) => ({ item, need: "", given: this.given.has(item.allocation), portions: 1 }));
    const things: Thing[] = own.filter((x) => x.given || !past(x.item, nowMs));
    for (const g of this.given.values()) {
      const item = g.need && g.resident === person.resident ? this.spare.get(g.allocation) : undefined;
      if (item) things.push({ item, need: g.need, given: true, portions: 0 });
    }
    const offers = new Set<string>();
    for (const need of [...(person.needs ?? [])].sort((a, b) => b.urgency - a.urgency)) {
      for (const item of this.spare.values()) {
        if (offers.has(item.offer) || this.misfit(person, item, need, nowMs)) continue;
        offers.add(item.offer);
        const alike = [...this.spare.values()].filter((s) => s.offer === item.offer && !this.given.has(s.allocation) && !past(s, nowMs));
        things.push({ item, need: need.id, given: false, portions: alike.length });
      }
    }
    return things;
  }

  /** What of the person's needs is still wanted, after what was given from here. */
  wanted(person: Person): { need: Need; left: number }[] {
    return (person.needs ?? []).map((need) => ({ need, left: need.left_units - this.served(need, this.fresh()) })).filter((x) => x.left > 0);
  }

  /** Whether the worth of an item asks for the person's PIN. */
  needsPIN(item: Item): boolean {
    const above = this.bundle.pin_above_fen;
    return above === 0 || (above > 0 && item.value_fen * item.qty_units > above);
  }

  /** Why an item may not be given to somebody; undefined when it may. */
  refusal(person: Person, allocation: string, need: string, how: How, code: Code | undefined, pin: boolean, nowMs: number): Refusal | undefined {
    if (this.over(nowMs)) return "list_over";
    if (this.given.has(allocation)) return "given";
    const own = this.theirs.get(allocation);
    const item = this.item(allocation);
    if (!item || (own ? own.person !== person.resident || need !== "" : need === "")) return "not_here";
    if (past(item, nowMs)) return "item_over";
    if (!own) {
      const wanted = person.needs?.find((n) => n.id === need);
      if (!wanted) return "no_need";
      const why = this.misfit(person, item, wanted, nowMs);
      if (why) return why;
    }
    if (this.needsPIN(item) && !pin) return how === "word" ? "by_name" : this.pinHash(person, code) ? "pin" : "no_pin";
    return undefined;
  }

  private misfit(person: Person, item: Item, need: Need, nowMs: number): Refusal | undefined {
    if (this.given.has(item.allocation)) return "given";
    if (past(item, nowMs)) return "item_over";
    if (need.category !== item.category) return "no_need";
    const fresh = this.fresh();
    if (item.qty_units > need.left_units - this.served(need, fresh)) return "no_need";
    const household = fresh.filter((g) => this.people.get(g.resident)?.household === person.household);
    const alike = (same: (other: Item) => boolean): number => sum(household.filter((g) => same(this.item(g.allocation) ?? item)));
    const room = person.room ?? {};
    const beyond = (cap: number, used: number): boolean => cap >= 0 && item.qty_units > cap - used;
    if (beyond(room[item.category] ?? 0, alike((x) => x.category === item.category))) return "no_room";
    return beyond(room["o:" + item.offer] ?? -1, alike((x) => x.offer === item.offer)) ? "no_room" : undefined;
  }

  /** The spares given that the list does not count yet. */
  private fresh(): Given[] {
    return [...this.given.values()].filter((g) => g.need !== "" && !(g.state === "accepted" && g.seq <= this.throughSeq));
  }

  private served(need: Need, fresh: Given[]): number {
    return sum(fresh.filter((g) => g.need === need.id));
  }
}

function past(item: Item, nowMs: number): boolean {
  return item.until_ms > 0 && nowMs >= item.until_ms;
}

function sum(given: Given[]): number {
  return given.reduce((n, g) => n + g.qty_units, 0);
}
