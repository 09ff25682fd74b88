import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { callBack, SmallBank } from './support/small-bank.js';
import { expectVerified } from './support/verified.js';

const HOUR_MS = 3_600_000;

let bank: SmallBank;
let api: TestApi;
let bystander: Bystander;
let payouts: PayoutShop;

beforeAll(async () => {
  bank = await SmallBank.open();
  api = await TestApi.start({ environment: bankEnvironment(bank) });
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  payouts = new PayoutShop(api, await api.merchant('EUR'), bank, bystander);
  await payouts.settle(1_000);
});
afterEach(() => {
  bank.isAway = false;
  for (const faults of Object.values(bank.faults)) faults.length = 0;
  bank.beforeAnswer = () => undefined;
  expect(api.errors).toEqual([]);
});
afterAll(async () => {
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
  await bank.close();
});

const sent = ({ id }: Json): string[] => bank.instructed.filter((request) => request.includes(id));
const status = async ({ id }: Json): Promise<string> => (await payouts.get(id)).status;
const turn = () => payouts.saga().onTheWay.round();
const attempts = async ({ id }: Json): Promise<Json> =>
  (
    await bystander.client.query(
      `SELECT attempts, last_error, round(extract(epoch FROM try_at - now()) / 10)::int AS in_10s FROM due_rows
        WHERE merchant_id = $1 AND kind = 'payout' AND subject_id = $2`,
      [payouts.shop.id, id],
    )
  ).rows[0];

describe('an instruction whose outcome is unknown', () => {
  test('as the bank took it and its answer was lost is asked for, and not sent again', async () => {
    const payout = await payouts.reserved();
    bank.faults.PUT?.push('drop after');
    await turn();
    expect([await status(payout), sent(payout).length]).toEqual(['instructed', 1]);
  });

  test('as the bank never got it is sent again, under the same key', async () => {
    const payout = await payouts.reserved();
    bank.faults.PUT?.push('drop before');
    await turn();
    expect([await status(payout), await attempts(payout)]).toMatchObject(['reserved', { attempts: 1, in_10s: 1 }]);
    await payouts.follow();
    expect([await status(payout), new Set(sent(payout)).size, sent(payout).length]).toEqual(['instructed', 1, 2]);
    expect([...bank.taken.keys()].filter((key) => key.includes(payout.id))).toEqual([payouts.keyOf(payout)]);
  });

  test('and that cannot be asked for either is assumed to be nothing', async () => {
    const payout = await payouts.reserved();
    bank.faults.PUT?.push('drop after');
    bank.faults.GET?.push('drop before');
    await turn();
    // The first question failed: nothing was sent.
    expect([await status(payout), sent(payout).length]).toEqual(['reserved', 0]);
    bank.beforeAnswer = (request) => {
      if (request.startsWith('PUT')) bank.isAway = true;
    };
    await payouts.follow();
    expect([await status(payout), sent(payout).length]).toEqual(['reserved', 1]);
    bank.isAway = false;
    await payouts.follow();
    expect([await status(payout), sent(payout).length]).toEqual(['instructed', 1]);
  });

  test('and that the bank has paid meanwhile goes all the way', async () => {
    const payout = await payouts.reserved();
    bank.faults.PUT?.push('drop after');
    bank.beforeAnswer = (request) => {
      if (request.startsWith('PUT')) bank.say(payouts.keyOf(payout), 'paid');
    };
    await turn();
    const paid = await payouts.get(payout.id);
    expect(paid.timeline.map(({ status }: Json) => status)).toEqual(['requested', 'reserved', 'instructed', 'paid']);
    expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
  });
});

test('one that was refused and that the bank has taken all the same, from a sleeper, is watched', async () => {
  bank.refuses.set('bank_refused', 'account_closed');
  const payout = await payouts.instructed({ destination: 'bank_refused' });
  expect([payout.status, await payouts.due()]).toEqual(['failed', []]);
  const key = payouts.keyOf(payout);
  bank.take(key);
  await callBack(api, { key, status: 'accepted', sequence: 1 });
  await payouts.saga().hinted.round();
  expect([await status(payout), await payouts.due()]).toEqual(['failed', [['payout_watch', 24 * 60]]]);
  bank.say(key, 'paid');
  await payouts.follow();
  expect(await status(payout)).toBe('paid');
  expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
});

test('whoever has slept too long when the bank answers sends nothing: others may have, long ago', async () => {
  const payout = await payouts.reserved();
  const monotonic = systemClock.monotonic.bind(systemClock);
  let sleptMs = 0;
  const clock = vi.spyOn(systemClock, 'monotonic').mockImplementation(() => monotonic() + sleptMs);
  onTestFinished(() => clock.mockRestore());
  bank.beforeAnswer = (request) => {
    if (request.startsWith('GET')) sleptMs = HOUR_MS;
  };
  await turn();
  expect([await status(payout), sent(payout)]).toEqual(['reserved', []]);
  expect((await attempts(payout)).last_error).toBe('The request was not finished within its deadline.');
  bank.beforeAnswer = () => undefined;
  await payouts.follow();
  expect([await status(payout), sent(payout).length]).toEqual(['instructed', 1]);
});

describe('a bank that is away', () => {
  test('for an hour is tried at longer and longer waits, and then paid through, once', async () => {
    const payout = await payouts.reserved();
    bank.isAway = true;
    let waitedS = 0;
    for (let tries = 1; waitedS < 3_600; tries += 1) {
      await turn();
      const row = await attempts(payout);
      expect(row).toMatchObject({ attempts: tries, last_error: 'the bank has not answered' });
      expect(row.in_10s).toBe(Math.min(2 ** (tries - 1), 60));
      waitedS += row.in_10s * 10;
      await payouts.makeDue();
    }
    expect([await status(payout), sent(payout)]).toEqual(['reserved', []]);
    expect(await payouts.money()).toEqual(['0', '1000', '0', '0']);
    bank.isAway = false;
    await turn();
    bank.say(payouts.keyOf(payout), 'paid');
    await payouts.follow();
    expect([await status(payout), sent(payout).length]).toEqual(['paid', 1]);
  });

  test('while its answer is awaited changes nothing, and one that has forgotten what it took is not told again', async () => {
    const payout = await payouts.instructed();
    bank.isAway = true;
    await payouts.follow();
    expect(await status(payout)).toBe('instructed');
    bank.isAway = false;
    bank.forget(payouts.keyOf(payout));
    await payouts.follow();
    expect([await status(payout), sent(payout).length]).toEqual(['instructed', 1]);
    expect((await attempts(payout)).last_error).toBe('the bank knows nothing of an instruction that it took');
  });
});

test('two workers at once bring the bank’s word home once', async () => {
  const payout = await payouts.instructed();
  bank.say(payouts.keyOf(payout), 'paid');
  await payouts.makeDue();
  // The second one claims what the first has claimed, as after its lease.
  let asked = 0;
  let go: () => void = () => undefined;
  const both = new Promise<void>((resolve) => {
    go = resolve;
  });
  bank.beforeAnswer = () => {
    asked += 1;
    if (asked === 2) go();
    return both;
  };
  const first = payouts.saga().onTheWay.round();
  const { rowCount } = await untilClaimed();
  expect(rowCount).toBe(1);
  await Promise.all([first, payouts.saga().onTheWay.round()]);
  expect(asked).toBe(2);
  expect((await payouts.get(payout.id)).transactions).toHaveLength(2);
  expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
});

async function untilClaimed() {
  const free = `UPDATE due_rows SET try_at = now() WHERE merchant_id = $1 AND kind = 'payout' AND attempts > 0 AND try_at > now()`;
  for (;;) {
    const freed = await bystander.client.query(free, [payouts.shop.id]);
    if (freed.rowCount) return freed;
  }
}
