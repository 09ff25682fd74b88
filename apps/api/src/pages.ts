import { Injectable } from '@nestjs/common';
import { CursorCodec } from '#platform/cursor.js';

export interface Page<Body> {
  data: Body[];
  has_more: boolean;
  next_cursor: string | null;
}

/** The list shape of the contract: `{data, has_more, next_cursor}` by keyset. */
@Injectable()
export class Pages {
  constructor(private readonly cursors: CursorCodec) {}

  /** A list by id or by another number: `position` is the row's, and the next page is what lies below it. */
  async page<Row, Body>(list: {
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
   * Reads one row more than asked for, which tells whether there are more. `position` is the row's place in the list's key
   * as a text of the list's own: the next page is what lies below it.
   */
  async pageByKey<Row, Body>(list: {
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: string | undefined, count: number): Promise<Row[]>;
    position(row: Row): string;
    body(row: Row): Body;
  }): Promise<Page<Body>> {
    const before = list.cursor === undefined ? undefined : this.cursors.decode(list.scope, list.cursor);
    const rows = await list.read(before, list.limit + 1);
    const shown = rows.slice(0, list.limit);
    const last = shown.at(-1);
    const hasMore = rows.length > shown.length;
    return {
      data: shown.map((row) => list.body(row)),
      has_more: hasMore,
      next_cursor: hasMore && last !== undefined ? this.cursors.encode(list.scope, list.position(last)) : null,
    };
  }
}
