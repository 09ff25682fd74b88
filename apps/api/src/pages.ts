import { Inject, Injectable } from '@nestjs/common';
import type { Cost } from '#platform/cost.js';
import { CursorCodec } from '#platform/cursor.js';
import { CONFIG } from '#platform/platform.module.js';
import type { Config } from '../../config.js';
import { readPage } from './page-read.js';

export interface Page<Body> {
  data: Body[];
  has_more: boolean;
  next_cursor: string | null;
}

/** The list shape of the contract: `{data, has_more, next_cursor}` by keyset. */
@Injectable()
export class Pages {
  constructor(
    private readonly cursors: CursorCodec,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** A list by id or by another number: `position` is the row's, and the next page is what lies below it. */
  async page<Row, Body>(list: {
    cost: Cost;
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: bigint | undefined, count: number): Promise<Row[]>;
    position(row: Row): bigint;
    body(row: Row): Body;
  }): Promise<Page<Body>> {
    return this.pageByKey({
      ...list,
      read: (before, count) => list.read(before === undefined ? undefined : BigInt(before), count),
      position: (row) => String(list.position(row)),
    });
  }

  /**
   * `position` is the row's place in the list's key as a text of the list's own: the next page is what lies below it. A page
   * has fewer rows than `limit` where they are large: PAGE_LIMIT_BYTES.
   */
  async pageByKey<Row, Body>(list: {
    /** Of the request: its rows are counted. */
    cost: Cost;
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: string | undefined, count: number): Promise<Row[]>;
    position(row: Row): string;
    body(row: Row): Body;
  }): Promise<Page<Body>> {
    const before = list.cursor === undefined ? undefined : this.cursors.decode(list.scope, list.cursor);
    const { rows, hasMore } = await readPage<Row>({
      limit: list.limit,
      bytes: this.config.pageLimitBytes,
      read: async (behind, count) => {
        const read = await list.read(behind === undefined ? before : list.position(behind), count);
        list.cost.addRows(read.length);
        return read;
      },
      body: (row) => list.body(row),
    });
    const last = rows.at(-1);
    return {
      data: rows.map((row) => list.body(row)),
      has_more: hasMore,
      next_cursor: hasMore && last !== undefined ? this.cursors.encode(list.scope, list.position(last)) : null,
    };
  }
}
