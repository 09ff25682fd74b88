import { Inject, Injectable } from '@nestjs/common';
import { CursorCodec } from '#platform/cursor.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestBounds } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import type { Config } from '../../config.js';
import { type JsonText, jsonList } from './json-text.js';
import { allOrFound, readPage } from './page-read.js';

/** The list shape of the contract: `{data, has_more, next_cursor}` by keyset. */
@Injectable()
export class Pages {
  constructor(
    private readonly cursors: CursorCodec,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** A list by id or by another number: `position` is the row's, and the next page is what lies below it. */
  async page<Row, Body>(list: {
    asking: RequestBounds;
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: bigint | undefined, count: number): Promise<Row[] | Found<Row>>;
    position(row: Row): bigint;
    body(row: Row): Body;
  }): Promise<JsonText> {
    return this.pageByKey({
      ...list,
      read: async (before, count) => {
        const { rows, stoppedAt } = allOrFound(
          await list.read(before === undefined ? undefined : BigInt(before), count),
        );
        return { rows, stoppedAt: stoppedAt === undefined ? undefined : String(stoppedAt) };
      },
      position: (row) => String(list.position(row)),
    });
  }

  /**
   * `position` is the row's place in the list's key as a text of the list's own: the next page is what lies below it. A page
   * has fewer rows than `limit` where they are large (PAGE_LIMIT_BYTES), or hard to find (LIST_SCAN_ROWS).
   */
  async pageByKey<Row, Body>(list: {
    /** Its rows are counted. */
    asking: RequestBounds;
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: string | undefined, count: number): Promise<Row[] | Found<Row, string>>;
    position(row: Row): string;
    body(row: Row): Body;
    /** What the page has besides, once its rows have been read. */
    rest?(): object;
  }): Promise<JsonText> {
    const { asking } = list;
    const before = list.cursor === undefined ? undefined : this.cursors.decode(list.scope, list.cursor);
    const { texts, last, hasMore, stoppedAt } = await readPage<Row, string>({
      limit: list.limit,
      bytes: this.config.pageLimitBytes,
      read: async (behind, count) => {
        const found = allOrFound(await list.read(behind === undefined ? before : list.position(behind), count));
        asking.cost.addRows(found.rows.length);
        return found;
      },
      text: (row) => JSON.stringify(list.body(row)),
    });
    const end = stoppedAt ?? (last === undefined ? undefined : list.position(last));
    const next = hasMore && end !== undefined ? this.cursors.encode(list.scope, end) : null;
    return jsonList('data', texts, { has_more: hasMore, next_cursor: next, ...list.rest?.() });
  }
}
