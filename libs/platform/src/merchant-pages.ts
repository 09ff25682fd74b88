import type { Deadline } from './deadline.js';
import type { Database } from './postgres.js';

/** Merchants in one page of a duty: the size of the tenant setting and of a query's plan stay bounded. */
const PAGE = 500;

/** All merchants, page by page, oldest first: how a platform duty reaches every tenant although row-level security is on. */
export async function* merchantPages(database: Database, deadline: () => Deadline): AsyncGenerator<bigint[]> {
  for (let after = 0n; ; ) {
    const rows = await database.read<{ id: bigint }>('platform', deadline(), {
      name: 'merchant-page',
      text: 'SELECT id FROM merchants WHERE id > $1 ORDER BY id LIMIT $2',
      values: [after, PAGE],
    });
    const last = rows.at(-1);
    if (!last) return;
    yield rows.map((row) => row.id);
    if (rows.length < PAGE) return;
    after = last.id;
  }
}
