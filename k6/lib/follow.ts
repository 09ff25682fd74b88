import { Trend } from 'k6/metrics';
import type { LedgerEvent } from './books.ts';
import { ask, type World } from './client.ts';
import { jsonOf } from './contract.ts';
import { judgeFollower } from './judge.ts';
import { heardOf, note } from './notes.ts';
import type { Merchant } from './postings.ts';
import { hold, tellFindings } from './run.ts';
import type { Verdict } from './verify.ts';

/** Following a merchant's log by long polls, from its beginning to where nothing comes any more. */

const WAIT_MS = 1_000;
/** Of nothing new once the load is over, a follower takes for the end: more than any event is late. */
const QUIET_MS = 4_000;
/** After the end of the load no follower goes on. */
export const LATEST_S = 120;

/** From when the ledger recorded it to when a follower has it. */
const lag = new Trend('event_lag', true);

interface Page {
  readonly data: LedgerEvent[];
  readonly next_cursor: string;
}

export async function follow(world: World, merchant: Merchant, follower: string, loadEndsMs: number): Promise<void> {
  let after: string | undefined;
  for (let newsMs = Date.now(); Date.now() < Math.max(loadEndsMs, newsMs) + QUIET_MS; ) {
    const path = `/v1/events?limit=100&wait_ms=${WAIT_MS}${after === undefined ? '' : `&after=${after}`}`;
    const request = { method: 'GET', path, key: merchant.key, name: 'GET /events' } as const;
    const { kind, answer } = await ask(world, request, { status: 200 });
    const page = kind === 'done' ? jsonOf<Page>(answer.body) : undefined;
    if (!page) await world.pause(WAIT_MS);
    if (!page || page.data.length === 0) continue;
    newsMs = Date.now();
    after = page.next_cursor;
    for (const { occurred_at } of page.data) lag.add(newsMs - Date.parse(occurred_at));
    note({ heard: { follower, merchant: merchant.id, ids: page.data.map(({ id }) => id) } });
  }
}

/** Each follower of the merchant's saw its log: as many of them as there were. */
export function verifyFollowers({ id }: Merchant, { books }: Verdict, count: number): void {
  const heard = Object.entries(heardOf(id));
  const log = books.events.map((event) => event.id);
  for (const [follower, ids] of heard) tellFindings(judgeFollower(follower, ids, log));
  hold(heard.length === count && log.length > 0, 'every follower was told of something', `${heard.length} of ${count}`);
}
