// What the server and the device tell each other about work without a network.

export interface Text {
  zh: string;
  en: string;
}

/** What a device has taken along, as a whole. */
export interface Lease {
  id: string;
  device: string;
  division: string;
  place: string;
  from_ms: number;
  until_ms: number;
  sync_until_ms: number;
  items: number;
  given: number;
}

/** Units that are this device's own until the lease ends: promised to one person, or spare. */
export interface Item {
  allocation: string;
  offer: string;
  title_zh: string;
  title_en: string;
  category: string;
  unit: string;
  qty_units: number;
  value_fen: number; // of one unit
  until_ms: number;
  handover: { how: string; place: string; place_en: string; note: string };
  reason?: Text; // why it was promised; missing in what was taken along before there were any
}

export interface Code {
  id: string;
  carer_name: string; // "" for the resident's own
  relation: string;
  until_ms: number; // 0: no end
  pin_hash: string; // of a carer's PIN; "" for the resident's own code
}

export interface Need {
  id: string;
  category: string;
  qty_units: number;
  left_units: number;
  urgency: number;
  reason?: Text;
  rest?: Text; // why what is left waits beside a promise
}

export interface Person {
  resident: string;
  name: string;
  place: string;
  birth_year: number;
  groups: string[] | null;
  card_no: string;
  household: string;
  codes: Code[] | null;
  revoked: string[] | null;
  pin_hash: string;
  needs: Need[] | null;
  room: Record<string, number> | null; // units left of a cap, by category and as "o:" + offer; -1: no cap
  items: Item[] | null;
  elsewhere: { allocation: string; title_zh: string; title_en: string; device: string; until_ms: number }[] | null; // on other devices
}

export interface Bundle {
  lease: Lease;
  server_ms: number;
  pin_above_fen: number; // worth above which a handover takes the PIN; 0: always, -1: never
  keys: unknown;
  people: Person[] | null;
  spares: Item[] | null;
  disputed: Disputed[] | null;
}

/** A spare that this device reported as given and a person has to judge. */
export interface Disputed extends Item {
  resident: string;
  need: string;
}

export type How = "scan" | "card_no" | "word";

/** One handover, as the device signs it. */
export interface Handover {
  id: string;
  seq: number;
  lease: string;
  allocation: string;
  resident: string;
  need: string;
  code: string;
  how: How;
  token: string;
  pin: boolean;
  qty_units: number;
  given_ms: number;
  sig: string;
}

export type Outcome = "accepted" | "known" | "flagged" | "refused";

export interface Reason extends Text {
  code: string;
}

export interface SyncItem {
  id: string;
  outcome: Outcome;
  was: Outcome; // what became of it, also when it is only known
  reason?: Reason;
}

export interface SyncAnswer {
  items: SyncItem[] | null;
  server_ms: number;
  lease?: Lease | null;
}
