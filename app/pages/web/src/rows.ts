// What the rows of an offer's rule say, and the tree that the server reads.

export interface Tree {
  all?: Tree[];
  any?: Tree[];
  not?: Tree;
  ask?: string;
  op?: string;
  number?: number;
  date?: string;
  values?: string[];
  days?: number;
}

/** One row of the form. */
export interface Row {
  ask: string;
  denied: boolean;
  op: string;
  number: string;
  date: string;
  values: string[];
  days: string;
}

export const asks = ["age", "household", "group", "health", "received", "others", "score", "division", "today"];
export const listed = ["group", "health", "division", "received"];
export const ops: Record<string, string> = { ">=": "ge", ">": "gt", "<=": "le", "<": "lt", "==": "eq", "!=": "ne" };

export function newRow(ask: string): Row {
  return { ask, denied: ask === "received", op: ask === "others" ? "<" : ">=", number: "", date: "", values: [], days: ask === "others" ? "30" : "7" };
}

/** The rows of a tree that has the shape of rows, and whether any one of them is enough. */
export function rowsOf(tree: Tree): { rows: Row[]; any: boolean } {
  const parts = tree.all ?? tree.any ?? [tree];
  return { rows: parts.map(rowOf), any: tree.any !== undefined };
}

function rowOf(tree: Tree): Row {
  const t = tree.not ?? tree;
  return {
    ask: t.ask ?? "age",
    denied: tree.not !== undefined,
    op: t.op ?? ">=",
    number: t.op && t.ask !== "today" ? String(t.number ?? 0) : "",
    date: t.date ?? "",
    values: t.values ?? [],
    days: String(t.days ?? 7),
  };
}

/** Whether a row says something yet. */
export function complete(row: Row): boolean {
  if (listed.includes(row.ask)) return row.values.length > 0 && (row.ask !== "received" || Number(row.days) > 0);
  if (row.ask === "today") return row.date !== "";
  return row.number.trim() !== "" && Number.isFinite(Number(row.number)) && (row.ask !== "others" || (row.values.length > 0 && Number(row.days) > 0));
}

/** The tree of rows that are complete; undefined where there are none. */
export function treeOf(rows: Row[], any: boolean): Tree | undefined {
  const parts = rows.filter(complete).map((row): Tree => {
    const t: Tree = { ask: row.ask };
    if (row.values.length > 0) t.values = row.values;
    if (row.ask === "received" || row.ask === "others") t.days = Number(row.days);
    if (!listed.includes(row.ask)) t.op = row.op;
    if (row.ask === "today") t.date = row.date;
    else if (!listed.includes(row.ask)) t.number = Number(row.number);
    return row.denied ? { not: t } : t;
  });
  if (parts.length < 2) return parts[0];
  return any ? { any: parts } : { all: parts };
}
