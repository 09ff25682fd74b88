// npm run test:faults [-- --minutes N --seed S --policy available|strict --readers N --mutant NAME --excused]: the whole service as
// real processes under faults, every operation recorded and judged. See test/histories. Without --policy both share the time. Exit 1 when
// an invariant does not hold; with --mutant (a name, several, or all), when the planted bug is not caught. A seed that is not given is drawn, and printed.
// npm run test:faults -- payouts [--visits N --seed S --point TEXT]: payouts to every destination of the bank simulator, interrupted
// at every point by a kill or a cut. See test/payouts-campaign. Exit 1 when a payout, an account or the bank is not what it must be.
// npm run test:faults -- night [--rounds N --payments M --seed S --mutant NAME]: a quarter of settlements and payouts in six zones, for
// N × 6 merchants of M payments each, once in peace and once with processes killed. See test/night. Exit 1 when the two differ, or
// either differs from the oracle; with --mutant, when the planted bug is not caught.
// npm run test:faults -- reconciliation [--rounds N --seed S]: reports that overlap, come twice, at once and cut off, while the worker
// that matches them is killed; each round is a business of its own. Exit 1 when a row is matched twice or a break is opened twice.
// npm run test:faults -- reconciliation-month [--payments M --seed S]: a month of the simulated quarter, each night reconciled with what
// processors report and the bank shows: as they are, and then wrong in every way. See test/reconciliation-month.test.ts. Exit 1 when a
// break is open that was not planted, or one that was is not found.
// npm run test:faults -- planted [--rows N,N]: reports of so many rows in every format, with faults of each kind and with none. See
// test/reconciliation-planted.test.ts. Exit 1 when a fault is not found, or something is that was not planted.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runCampaign } from './campaign.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '5' },
    visits: { type: 'string', default: '4' },
    point: { type: 'string', default: '' },
    rounds: { type: 'string', default: '2' },
    payments: { type: 'string', default: '150' },
    rows: { type: 'string', default: '1000,10000,100000' },
    seed: { type: 'string', default: String(randomInt(1, 1_000_000_000)) },
    mutant: { type: 'string' },
    policy: { type: 'string', default: '' },
    readers: { type: 'string', default: '4' },
    excused: { type: 'boolean', default: false },
  },
});
const { minutes, visits, point, rounds, payments, rows, seed, mutant = '', policy, readers, excused } = values;
const [of = 'everything', ...more] = positionals;
const CAMPAIGNS = ['everything', 'payouts', 'night', 'reconciliation', 'reconciliation-month', 'planted'];
if (!CAMPAIGNS.includes(of) || more.length > 0) {
  console.error(`counterfoil: say ${CAMPAIGNS.join(', ')} or nothing.`);
  process.exit(1);
}
if (!['', 'available', 'strict'].includes(policy)) {
  console.error('counterfoil: --policy must be available or strict.');
  process.exit(1);
}
if (of === 'payouts') {
  const env = { PAYOUTS_VISITS: visits, PAYOUTS_SEED: seed, PAYOUTS_POINT: point };
  await runCampaign('test/payouts-campaign.test.ts', { visits, seed }, env);
} else if (of === 'night') {
  const env = { NIGHT_ROUNDS: rounds, NIGHT_PAYMENTS: payments, NIGHT_SEED: seed, NIGHT_MUTANT: mutant };
  await runCampaign('test/night-quarter.test.ts', { rounds, payments, seed }, env);
} else if (of === 'reconciliation-month') {
  const env = { MONTH_PAYMENTS: payments, MONTH_SEED: seed };
  await runCampaign('test/reconciliation-month.test.ts', { payments, seed }, env);
} else if (of === 'reconciliation') {
  const env = { RECONCILIATION_ROUNDS: rounds, RECONCILIATION_SEED: seed };
  await runCampaign('test/reconciliation-crashes.test.ts', { rounds, seed }, env);
} else if (of === 'planted') {
  if (!rows.split(',').every((size) => Number(size) >= 1_000)) {
    console.error('counterfoil: --rows must be numbers from 1000 on.');
    process.exit(1);
  }
  await runCampaign('test/reconciliation-planted.test.ts', { seed }, { PLANTED_ROWS: rows });
} else {
  const env = {
    FAULTS_MINUTES: minutes,
    FAULTS_SEED: seed,
    FAULTS_POLICY: policy,
    FAULTS_READERS: readers,
    FAULTS_MUTANT: mutant,
    FAULTS_EXCUSED: excused ? '1' : '',
  };
  await runCampaign('test/histories.test.ts', { minutes, seed }, env);
}
