/** The first read of a page has this many rows at most, and fewer where as many large ones would not fit. */
const FIRST_ROWS = 101;
const LARGE_ROW_BYTES = 10_240;
/** How many the next one may have is judged by the size of those before; behind a hundred small ones may lie large ones. */
const MOST_ROWS = 250;
/** Of numbers, booleans and null; quotes, colon and comma of a member. */
const SMALL_BYTES = 8;
const FRAME_BYTES = 4;

export interface PageRead<Row> {
  limit: number;
  /** About how many bytes of JSON the page may have. It has one row all the same. */
  bytes: number;
  /** Up to `count` rows behind one, in the order of the list; all there are when it answers fewer. */
  read(behind: Row | undefined, count: number): Promise<Row[]>;
  /** What of a row goes into the answer. */
  body(row: Row): unknown;
}

/**
 * The rows of a page, and whether there are more. `limit` is a most: a page ends early where its rows are large, and no more
 * of them are read than a page can hold.
 */
export async function readPage<Row>(page: PageRead<Row>): Promise<{ rows: Row[]; hasMore: boolean }> {
  const rows: Row[] = [];
  let taken = 0;
  for (;;) {
    const fitting = rows.length === 0 ? firstRows(page.bytes) : ((page.bytes - taken) * rows.length) / taken;
    const count = Math.max(1, Math.ceil(Math.min(page.limit + 1 - rows.length, fitting, MOST_ROWS)));
    const read = await page.read(rows.at(-1), count);
    for (const row of read) {
      const size = roughBytes(page.body(row));
      if (rows.length === page.limit || (rows.length > 0 && taken + size > page.bytes)) return { rows, hasMore: true };
      rows.push(row);
      taken += size;
    }
    if (read.length < count) return { rows, hasMore: false };
  }
}

function firstRows(bytes: number): number {
  return Math.min(FIRST_ROWS, bytes / LARGE_ROW_BYTES);
}

/** About the length of a value as JSON, at a fraction of the cost. */
export function roughBytes(value: unknown): number {
  if (typeof value === 'string') return value.length + FRAME_BYTES;
  if (value === null || typeof value !== 'object') return SMALL_BYTES;
  let bytes = FRAME_BYTES;
  if (Array.isArray(value)) for (const item of value) bytes += roughBytes(item);
  else for (const key in value) bytes += key.length + FRAME_BYTES + roughBytes(value[key as never]);
  return bytes;
}
