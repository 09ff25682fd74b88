import type { Found } from '#platform/search.js';
import { Turn } from '#platform/turns.js';

/** The first read of a page has this many rows at most, and fewer where as many large ones would not fit. */
const FIRST_ROWS = 101;
const LARGE_ROW_BYTES = 10_240;
/** How many the next one may have is judged by the size of those before; behind a hundred small ones may lie large ones. */
const MOST_ROWS = 250;

export interface PageRead<Row, Place = never> {
  limit: number;
  /** About how many bytes of JSON the page may have. It has one row all the same. */
  bytes: number;
  /** Up to `count` rows behind one, in the order of the list; all there are when it answers fewer, unless it stopped before. */
  read(behind: Row | undefined, count: number): Promise<Row[] | Found<Row, Place>>;
  /** What of a row goes into the answer, as it goes there. */
  text(row: Row): string;
}

export interface PageTexts<Row, Place = never> {
  texts: string[];
  /** Undefined where there is none. */
  last: Row | undefined;
  hasMore: boolean;
  /** Where the next page begins, when that is not behind the last row. */
  stoppedAt?: Place;
}

/**
 * The rows of a page as texts, and whether there are more. `limit` is a most: a page ends early where its rows are large or far between, and no
 * more of them are read than a page can hold. A long one is made in turns: in one go a page of events
 * had a neighbour wait 11 times as long, p50, and in pieces 2.7 times (docs/figures/limits.md).
 */
export async function readPage<Row, Place = never>(page: PageRead<Row, Place>): Promise<PageTexts<Row, Place>> {
  const texts: string[] = [];
  let last: Row | undefined;
  let taken = 0;
  for (;;) {
    const fitting = texts.length === 0 ? firstRows(page.bytes) : ((page.bytes - taken) * texts.length) / taken;
    const count = Math.max(1, Math.ceil(Math.min(page.limit + 1 - texts.length, fitting, MOST_ROWS)));
    const { rows, stoppedAt } = allOrFound(await page.read(last, count));
    const turn = new Turn();
    for (const row of rows) {
      if (turn.isOver) await turn.next();
      const text = page.text(row);
      const isFull = texts.length === page.limit || (texts.length > 0 && taken + text.length > page.bytes);
      if (isFull) return { texts, last, hasMore: true };
      texts.push(text);
      last = row;
      taken += text.length;
    }
    if (stoppedAt !== undefined) return { texts, last, hasMore: true, stoppedAt };
    if (rows.length < count) return { texts, last, hasMore: false };
  }
}

function firstRows(bytes: number): number {
  return Math.min(FIRST_ROWS, bytes / LARGE_ROW_BYTES);
}

/** Of a list without a search there is no more than its rows. */
export function allOrFound<Row, Place>(read: Row[] | Found<Row, Place>): Found<Row, Place> {
  return Array.isArray(read) ? { rows: read, stoppedAt: undefined } : read;
}
