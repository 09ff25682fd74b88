import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { begin } from '#settlement/begin.js';
import { closeDay } from '#settlement/closing.js';
import { draftChunk, openDrafts } from '#settlement/drafts.js';
import { nextStep, type Step } from '#settlement/next-step.js';
import { loadEarliest, loadStandings } from '#settlement/standings.js';
import { Bystander } from './support/bystander.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';

/** What the group that closes a day does not take anybody's word for. */

const DAY_MS = 86_400_000;
const dateOf = (daysAgo: number): string => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
const noonOf = (daysAgo: number): number => Date.parse(`${dateOf(daysAgo)}T12:00:00Z`);
const soon = () => Deadline.after(20_000);

let on: TestDatabase;
let settlement: TestSettlement;
let bystander: Bystander;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on);
  bystander = await Bystander.open(on);
});
afterAll(async () => {
  await Promise.all([settlement.close(), bystander.close()]);
  await on.drop();
});

async function closed(merchantId: bigint): Promise<unknown> {
  const text = `
SELECT (SELECT business_date::text FROM settlement_positions WHERE merchant_id = $1) AS position,
       (SELECT count(*) FROM settlements WHERE merchant_id = $1) AS settlements,
       (SELECT count(*) FROM settled_balances WHERE merchant_id = $1) AS balances,
       (SELECT count(*) FROM transactions WHERE merchant_id = $1 AND type = 'settlement.fees') AS fees,
       (SELECT count(*) FROM events WHERE merchant_id = $1 AND type = 'settlement.posted') AS told,
       (SELECT count(*) FROM settlement_drafts WHERE merchant_id = $1) AS drafts`;
  const { rows } = await asAdmin(on.ownerUrl, (owner) => owner.query(text, [String(merchantId)]));
  return rows[0];
}

const NOTHING = { position: null, settlements: '0', balances: '0', fees: '0', told: '0', drafts: '2' };

/** A day with fees in two currencies that is begun. */
async function begun(): Promise<Step> {
  const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(2), currencies: ['EUR', 'USD'] });
  await settlement.charge(
    merchantId,
    ['EUR', 'USD'].map((currency) => ({ ...RULE, currency, fixed: 3n })),
  );
  const paid = (currency: string) =>
    ({ kind: 'payment', amount: 100n, subject: 1n, atMs: noonOf(2), currency }) as const;
  await settlement.happen(merchantId, ...['EUR', 'EUR', 'USD'].map(paid));
  const { database, ids } = settlement.parts;
  const standings = await loadStandings(database, [merchantId], dateOf(2), soon());
  const earliest = await loadEarliest(database, standings, soon());
  const when = { businessDate: dateOf(2), nowMs: Date.now() };
  const [step] = standings.map((standing) => nextStep(standing, earliest.get(merchantId), when)) as [Step];
  await begin(database, ids, [step], soon());
  return step;
}

/** All of it, or but the last entry of each draft. */
async function draft({ standing: { merchantId }, calendar }: Step, left = 0n): Promise<void> {
  const { database, plans } = settlement.parts;
  const open = await openDrafts(database, [merchantId], soon());
  const slices = open.map((one) => ({ ...one, until: one.lookedThrough - left }));
  const spans = (await plans.spansOf([merchantId], soon())).get(merchantId) ?? [];
  await draftChunk(database, slices, () => ({ calendar, plans: spans }), soon());
}

const close = (step: Step, currencies = ['EUR', 'USD']): Promise<boolean> =>
  closeDay(settlement.parts, step, currencies, settlement.ledger.context(step.standing.merchantId));

const moved = (step: Step): Step => ({
  ...step,
  standing: { ...step.standing, position: { firstDate: dateOf(3), businessDate: dateOf(3) } },
});

test.each<[string, (step: Step) => Promise<boolean>]>([
  [
    'of which only a part is drafted',
    async (step) => {
      await draft(step, 1n);
      return close(step);
    },
  ],
  [
    'one of whose drafts somebody is at work on',
    async (step) => {
      await draft(step);
      const lock = `SELECT FROM settlement_drafts WHERE merchant_id = ${step.standing.merchantId} AND currency = 'USD' FOR UPDATE`;
      await bystander.client.query(`BEGIN; ${lock}`);
      const isClosed = await close(step);
      await bystander.client.query('ROLLBACK');
      return isClosed;
    },
  ],
  [
    'of which a fee has no accounts',
    async (step) => {
      await draft(step);
      return close(step, ['EUR']);
    },
  ],
  [
    'that is the next one after another than the last that is settled',
    async (step) => {
      await draft(step);
      return close(moved(step));
    },
  ],
  [
    'whose drafts are another day’s',
    async (step) => {
      await draft(step);
      return close({ ...step, day: step.next });
    },
  ],
])('a day %s is not closed, and nothing of it; made whole it is', async (_what, closing) => {
  const step = await begun();
  const { merchantId } = step.standing;
  expect(await closing(step)).toBe(false);
  expect(await closed(merchantId)).toEqual(NOTHING);
  expect(await settlement.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'settled' }]);
  const two = { settlements: '2', balances: '2', fees: '2', told: '2' };
  expect(await closed(merchantId)).toEqual({ position: dateOf(2), ...two, drafts: '0' });
});
