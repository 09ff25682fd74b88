import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MerchantLog } from '#outbox/log/append.js';
import { Deadline } from '#platform/deadline.js';
import { closeReport, lookAgain } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { type Json, TestApi } from './support/api.js';
import { BreakShop, type TestOperator } from './support/breaks.js';
import { Bystander } from './support/bystander.js';
import { type PlannedRow, TestMatching } from './support/matching.js';
import { until } from './support/until.js';

/** People and facts about the same break: who chooses between payments, and who comes first. */

let api: TestApi;
let bystander: Bystander;
let matching: TestMatching;
beforeAll(async () => {
  api = await TestApi.start();
  bystander = await Bystander.open(api.on);
  matching = await TestMatching.open(api.on);
});
afterAll(async () => {
  expect(api.errors).toEqual([]);
  await matching.close();
  await bystander.close();
  await api.stop();
});

const within = (): Deadline => Deadline.after(30_000);

interface Shop {
  readonly shop: BreakShop;
  readonly merchantId: bigint;
  readonly maker: TestOperator;
  readonly checker: TestOperator;
}

async function open(): Promise<Shop> {
  const shop = await BreakShop.open(api, bystander.client);
  const [maker, checker] = [await shop.operator(), await shop.operator()];
  return { shop, merchantId: BigInt(shop.merchant.id), maker, checker };
}

async function reconcile(merchantId: bigint, rows: readonly PlannedRow[]): Promise<MatchedReport> {
  const report = await matching.stage(merchantId, rows, { source: 'generic', provider: undefined });
  await matching.match(report);
  await closeReport(matching.matching, report, within);
  return report;
}

/** In the order of their lines. */
async function breaksOf({ shop }: Shop, report: MatchedReport): Promise<Json[]> {
  const { body } = await shop.environment.client.get(`/v1/reconciliations/${report.id}/breaks`);
  return body.data.sort((a: Json, b: Json) => a.actual.line - b.actual.line);
}
const match = (...candidates: string[]) => ({ action: 'match', candidates, reason: 'They say so.' });

test('a row of which several payments have the reference is matched with the one that a person chooses, or with its item', async () => {
  const of = await open();
  const { shop, merchantId, maker, checker } = of;
  const captures = [{ amount: 500 }, { amount: 500 }, { ref: 'c', amount: 200 }];
  const adyen = await matching.pay(merchantId, { ref: 'P', provider: 'adyen', captures });
  const acme = await matching.pay(merchantId, { ref: 'P', provider: 'acme', captures });
  const foreign = await matching.pay(merchantId, { ref: 'Q', provider: 'acme', captures });
  const report = await reconcile(merchantId, [
    { line: 2, ref: 'P', gross: 500 },
    { line: 3, ref: 'P', gross: 200 },
  ]);
  const [first, second] = await breaksOf(of, report);
  expect(first.candidates.map(({ payment_id }: Json) => payment_id)).toEqual([String(adyen), String(acme)]);
  const vague = await shop.act(maker, first.id, 'propose', match(String(acme)));
  expect([vague.status, vague.text]).toEqual([422, expect.stringContaining(`payment/${acme}/payment/#500.2`)]);
  for (const other of [String(foreign), `payment/${foreign}/payment/c`, `payment/${acme}/payment/none`]) {
    expect((await shop.act(maker, first.id, 'propose', match(other))).body.code).toBe('validation_failed');
  }
  await shop.act(maker, first.id, 'propose', match(`payment/${acme}/payment/#500.2`));
  const proposed = await shop.act(maker, second.id, 'propose', match(String(adyen)));
  expect(proposed.body.proposal.candidates).toEqual([`payment/${adyen}/payment/c`]);
  for (const { id } of [first, second]) expect((await shop.act(checker, id, 'approve')).status).toBe(200);
  expect(await matching.itemsOf(merchantId)).toEqual({ 'payment/#500.2': 2, 'payment/c': 3 });
});

test('an item that another row has taken since is not matched again, and its break stays proposed', async () => {
  const of = await open();
  const { shop, merchantId, maker, checker } = of;
  const acme = await matching.pay(merchantId, { ref: 'P', provider: 'acme', captures: [{ ref: 'c', amount: 500 }] });
  await matching.pay(merchantId, { ref: 'P', provider: 'adyen', captures: [{ ref: 'd', amount: 500 }] });
  const report = await reconcile(
    merchantId,
    [2, 3].map((line) => ({ line, ref: 'P', gross: 500 })),
  );
  const [first, second] = await breaksOf(of, report);
  for (const { id } of [first, second]) {
    expect((await shop.act(maker, id, 'propose', match(String(acme)))).status).toBe(200);
  }
  expect((await shop.act(checker, first.id, 'approve')).status).toBe(200);
  expect((await shop.act(checker, second.id, 'approve')).body.code).toBe('invalid_transition');
  expect((await shop.get(second.id)).status).toBe('proposed');
});

/** A break whose payment has become known since, with a proposal of a maker's. */
async function proposedLate(of: Shop, proposal: object): Promise<{ report: MatchedReport; id: string }> {
  const report = await reconcile(of.merchantId, [{ line: 2, ref: 'P', object: 'c', gross: 500 }]);
  const [found] = await breaksOf(of, report);
  await of.shop.act(of.maker, found.id, 'propose', proposal);
  await matching.pay(of.merchantId, { ref: 'P', provider: 'acme', captures: [{ ref: 'c', amount: 500 }] });
  return { report, id: found.id };
}

test('what was proposed for a break whose ground is gone is dropped, and not approved', async () => {
  const of = await open();
  const { report, id } = await proposedLate(of, of.shop.posting());
  await lookAgain(matching.matching, report, within);
  const refused = await of.shop.act(of.checker, id, 'approve');
  expect([refused.status, refused.body.code]).toEqual([409, 'invalid_transition']);
  expect(await of.shop.get(id)).toMatchObject({
    status: 'auto_resolved',
    resolution: { dropped_proposal: { by: of.maker.name } },
  });
  expect(await of.shop.adjustments()).toEqual([]);
});

test('an approval and the fact that makes it needless, at once: one of both ends the break, and never two', async () => {
  for (let round = 0; round < 6; round += 1) {
    const of = await open();
    const { report, id } = await proposedLate(of, of.shop.posting());
    // Both wait for the merchant's lock, in either order.
    const { release, held } = hold(of.merchantId);
    await held;
    const approve = () => of.shop.act(of.checker, id, 'approve', undefined, randomUUID());
    const look = () => lookAgain(matching.matching, report, within);
    const begun = round % 2 === 0 ? [approve(), look()] : [look(), approve()];
    await until('both wait', async () => (await waiting()) >= 2);
    release();
    const [, answer] = await Promise.all([begun[round % 2 === 0 ? 1 : 0], begun[round % 2 === 0 ? 0 : 1]]);
    const status = (answer as { status: number }).status;
    const found = await of.shop.get(id);
    expect(['resolved 200', 'auto_resolved 409']).toContain(`${found.status} ${status}`);
    expect(await of.shop.adjustments()).toHaveLength(found.status === 'resolved' ? 1 : 0);
    expect(await matching.itemsOf(of.merchantId)).toEqual(found.status === 'resolved' ? {} : { 'payment/c': 2 });
    const ends = (await api.logOf(of.shop.merchant)).filter(({ type }) => type === 'break.resolved');
    expect(ends.map(({ data }) => data.status)).toEqual([found.status]);
  }
});

function hold(merchantId: bigint): { release: () => void; held: Promise<void> } {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held = new Promise<void>((resolve, reject) => {
    matching.ledger.database
      .transaction({ merchantIds: [merchantId] }, within(), async (client) => {
        await MerchantLog.lock(client, merchantId);
        resolve();
        await released;
      })
      .catch(reject);
  });
  return { release, held };
}

/** Backends of this database that wait for a lock. */
async function waiting(): Promise<number> {
  const { count } = await bystander.one<{ count: string }>(
    `SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return Number(count);
}
