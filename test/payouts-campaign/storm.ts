import { until } from '../support/until.js';
import { type Asked, ask, untilEnded } from './interrupt.js';
import { judge } from './judge.js';
import type { Stage } from './stage.js';

const ROUNDS = 3;
const STATUSES = 'SELECT status, count(*)::int AS count FROM payouts GROUP BY 1';

/** What befalls whom once so many payouts are there, or have been paid. */
interface Strike {
  readonly once: 'there' | 'paid';
  readonly least: number;
  readonly strike: (stage: Stage) => Promise<unknown>;
}

const killApi = async ({ api }: Stage): Promise<void> => {
  await api.crash();
  await api.start();
};
/** The API while it is asked for payouts, and while the bank calls it back. */
const STRIKES: readonly Strike[] = [
  { once: 'there', least: 4, strike: killApi },
  { once: 'there', least: 10, strike: ({ redis }) => redis.cache.crash() },
  { once: 'paid', least: 6, strike: killApi },
  { once: 'there', least: 18, strike: ({ redis }) => redis.queue.crash() },
];

/** Payouts of all shops at once, one after another of each, while the API and both roles of Redis are killed. Answers what is wrong. */
export async function storm(stage: Stage): Promise<{ asked: number; offences: string[] }> {
  const asking = Promise.all(stage.shops.map((shop) => rush(stage, shop)));
  asking.catch(() => undefined);
  for (const { once, least, strike } of STRIKES) {
    await until(`${least} payouts are ${once}`, async () => (await counted(stage, once)) >= least, 60_000);
    await strike(stage);
  }
  const asked = (await asking).flat();
  const open = await untilEnded(stage, asked);
  return { asked: asked.length, offences: [...open, ...(await judge(stage, asked))] };
}

async function rush(stage: Stage, shop: Stage['shops'][0]): Promise<Asked[]> {
  const asked: Asked[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) asked.push(await ask(stage, shop, BigInt(round)));
  return asked;
}

async function counted({ owner }: Stage, what: Strike['once']): Promise<number> {
  const { rows } = await owner.query<{ status: string; count: number }>(STATUSES);
  return rows.reduce((sum, { status, count }) => sum + (what === 'there' || status === what ? count : 0), 0);
}
