import { Injectable } from '@nestjs/common';
import { CursorCodec } from '#platform/cursor.js';

/** The list shape of the contract: `{data, has_more, next_cursor}` by keyset. */
@Injectable()
export class Pages {
  constructor(private readonly cursors: CursorCodec) {}

  /**
   * Reads one row more than asked for, which tells whether there are more. `position` is the row's place in the list's key:
   * the next page is what lies below it.
   */
  async page<Row, Body>(list: {
    scope: string;
    cursor: string | undefined;
    limit: number;
    read(before: bigint | undefined, count: number): Promise<Row[]>;
    position(row: Row): bigint;
    body(row: Row): Body;
  }): Promise<{ data: Body[]; has_more: boolean; next_cursor: string | null }> {
    const before = list.cursor === undefined ? undefined : BigInt(this.cursors.decode(list.scope, list.cursor));
    const rows = await list.read(before, list.limit + 1);
    const shown = rows.slice(0, list.limit);
    const last = shown.at(-1);
    const hasMore = rows.length > shown.length;
    return {
      data: shown.map((row) => list.body(row)),
      has_more: hasMore,
      next_cursor: hasMore && last !== undefined ? this.cursors.encode(list.scope, String(list.position(last))) : null,
    };
  }
}
