import type { Cost } from './cost.js';

/**
 * A list with filters, newest first: an index is walked in the list's order, and what no index finds is tested along it. A request looks
 * at so many rows and no more: where few of them fit, its page is short, and the next one goes on from there.
 */
export interface Search {
  /** What is shown, of `as` and `join`. */
  readonly columns: string;
  /** `SELECT … FROM … WHERE …`, all of it found by one index. */
  readonly walk: string;
  /** What the rows of the walk are called outside. */
  readonly as: string;
  /** What else is known of each of them: one row for one. */
  readonly join?: string;
  readonly tests: readonly string[];
  /** The columns of the walk that it is in the order of, descending. */
  readonly order: readonly string[];
  readonly values: readonly unknown[];
  readonly limit: number;
}

/** Rows of a list, in its order. */
export interface Found<Row, Place = bigint> {
  readonly rows: Row[];
  /** It looked at as many rows as it may, down to this one: there may be more below. */
  readonly stoppedAt: Place | undefined;
}

/** `id < $3`, of each comparison that has a value: it is put into `values`. */
export function conditions(values: unknown[], comparisons: readonly [comparison: string, value: unknown][]): string[] {
  return comparisons
    .filter(([, value]) => value !== undefined)
    .map(([comparison, value]) => `${comparison} $${values.push(value)}`);
}

interface Looked {
  /** How many the search had looked at with this one; there are none where nothing was tested. */
  looked?: number;
  fits?: boolean;
  is_last?: boolean;
}

/** The statement: it looks at `most` rows of its walk, and tells also the last of them, whether it fits or not. */
export function searchQuery(search: Search, most: number): { text: string; values: unknown[] } {
  const { columns, walk, as, join = '', tests, order, limit } = search;
  const values = [...search.values, limit];
  const shown = `ORDER BY ${order.map((column) => `${as}.${column} DESC`).join(', ')} LIMIT $${values.length}`;
  if (tests.length === 0) return { text: `SELECT ${columns} FROM (${walk}) ${as} ${join} ${shown}`, values };
  values.push(most);
  const descending = `ORDER BY ${order.map((column) => `${column} DESC`).join(', ')}`;
  const fits = tests.map((test) => `(${test})`).join(' AND ');
  const text = `
SELECT ${columns}, ${as}.looked, ${as}.is_last, (${fits}) IS TRUE AS fits
  FROM (SELECT *, (row_number() OVER down)::int AS looked, lead(true) OVER down IS NULL AS is_last
          FROM (${walk} ${descending} LIMIT $${values.length}) walked WINDOW down AS (${descending})) ${as} ${join}
 WHERE (${fits}) OR ${as}.is_last ${shown}`;
  return { text, values };
}

/** What the statement's rows say. Whoever asked is charged for what was looked at. */
export function foundOf<Row extends object, Place>(
  rows: (Row & Looked)[],
  { cost, most, placeOf }: { cost: Cost; most: number; placeOf(row: Row): Place },
): Found<Row, Place> {
  const last = rows.at(-1);
  if (last?.looked === undefined) return { rows, stoppedAt: undefined };
  const fitting = rows.filter(({ fits }) => fits);
  cost.addSearch(last.looked, fitting.length);
  return { rows: fitting, stoppedAt: last.is_last && last.looked === most ? placeOf(last) : undefined };
}
