import type pg from 'pg';
import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import { Dice } from '../histories/history.js';
import type { Build } from '../histories/servers.js';
import type { Json } from '../payments/client.js';
import { asAdmin } from '../support/database.js';
import { NO_CALENDAR } from '../support/no-calendar.js';
import { offendersOf } from '../support/verified.js';
import { wrongBalances, wrongEvents, wrongInstructions, wrongPayouts } from './balances.js';
import { startFleet } from './fleet.js';
import { NightHarm } from './harm.js';
import { judgeShop, type Ledgered, readShop, shownOf, wrongRuns } from './judge.js';
import { LivedQuarter } from './lived.js';
import type { Shop } from './open-shops.js';
import { amountsOf, type Settled } from './oracle.js';
import { type Quarter, type QuarterOptions, quarterOf } from './quarter.js';
import { todayOf } from './today.js';

export interface QuarterRunOptions extends QuarterOptions {
  /** How many faults a night has, on average. */
  readonly strikes: number;
  /** Whether a day of today is settled as well: it takes two minutes. */
  readonly today: boolean;
}

export interface QuarterOutcome {
  readonly report: string;
  readonly offences: readonly string[];
  readonly faults: readonly string[];
  readonly lived: LivedQuarter;
  readonly ledgered: readonly Ledgered[];
  /** What is left in the end: ids and times of its making aside. */
  readonly state: readonly string[];
}

const SHOWN = 20;

/** A quarter on real processes; then all that they say of it is held against the oracle. */
export async function runQuarter(build: Build, options: QuarterRunOptions): Promise<QuarterOutcome> {
  const { seed, strikes } = options;
  const quarter = quarterOf(options);
  const fleet = await startFleet(build, seed);
  try {
    await asAdmin(fleet.on.ownerUrl, (owner) => owner.query(NO_CALENDAR));
    const from = performance.now();
    const harm = strikes > 0 ? new NightHarm(fleet, new Dice(seed), strikes) : undefined;
    const lived = new LivedQuarter(fleet, quarter, {
      ...(harm && { harm }),
      ...(options.today && { today: todayOf(Date.now()) }),
    });
    await lived.run();
    const seconds = (performance.now() - from) / 1_000;
    return await asAdmin(fleet.on.ownerUrl, async (owner) => {
      const { ledgered, settled, offences } = await judged(lived, quarter, fleet.client, owner);
      const instructions = await fleet.bank.get('/instructions', fleet.bankSecret);
      offences.push(...wrongInstructions(instructions.body.data, ledgered));
      const found = offendersOf(await verify(fleet.on.runtimeUrl, await checksOf(ROOMS)));
      offences.push(...Object.entries(found).map(([name, rows]) => `${name}: ${rows}`));
      const faults = harm?.done ?? [];
      const told = `seed ${seed}, ${quarter.steps.length} nights in ${seconds.toFixed(0)} s${build.planted ? `, planted: ${build.planted}` : ''}`;
      const report = [told, ...reportOf(lived, ledgered, settled, faults), `offences ${offences.length}`];
      return {
        report: [...report, ...offences.slice(0, SHOWN)].join('\n'),
        offences,
        faults,
        lived,
        ledgered,
        state: stateOf(ledgered, lived),
      };
    });
  } finally {
    await fleet.stop();
  }
}

async function judged(lived: LivedQuarter, quarter: Quarter, client: LivedQuarter['client'], owner: pg.Client) {
  const offences = [...lived.offences];
  const ledgered: Ledgered[] = [];
  const settled = new Map<Shop, Settled>();
  for (const shop of lived.shops) {
    const one = await readShop(shop, { lived, quarter, client, owner });
    const [wrong, should] = judgeShop(one, lived);
    ledgered.push(one);
    settled.set(shop, should);
    offences.push(...wrong, ...wrongPayouts(one, lived), ...(await wrongEvents(one, owner)));
    offences.push(...(await wrongBalances(one, should, client)));
  }
  offences.push(...wrongRuns(lived, settled));
  return { ledgered, settled, offences };
}

function reportOf(
  lived: LivedQuarter,
  ledgered: readonly Ledgered[],
  settled: ReadonlyMap<Shop, Settled>,
  faults: readonly string[],
): string[] {
  const settlements = [...settled.values()].flatMap((one) => one.settlements);
  const lines = settlements.flatMap((one) => one.lines);
  const late = settlements.flatMap(({ day, lines: all }) => all.filter(({ atMs }) => atMs < day.fromMs)).length;
  const unsettled = [...settled.values()].flatMap((one) => one.unsettled).length;
  const back = lines.filter(({ charged }) => charged < 0n).length;
  const negative = settlements.filter((one) => amountsOf(one).net < 0n).length;
  const payouts = ledgered.flatMap((one) => one.payouts.map(({ status }) => status as string));
  return [
    `shops ${lived.shops.length}, facts ${lived.counts.facts}, by hand ${lived.counts.byHand}, runs ${lived.runs.length}`,
    `settlements ${settlements.length} (${negative} below zero), lines ${lines.length}: ${listed(lines.map(({ kind }) => kind))}; late ${late}, fees given back ${back}, unsettled ${unsettled}`,
    `payouts ${payouts.length}: ${listed(payouts)}; refused ${lived.payouts.refused}`,
    `faults ${faults.length}: ${listed(faults)}`,
  ];
}

/** What is the same however a quarter was lived through. */
function stateOf(ledgered: readonly Ledgered[], lived: LivedQuarter): string[] {
  const refs = new Map([...lived.paymentIds].map(([ref, id]) => [id, ref]));
  // Today is another day in another run.
  const quarterly = ledgered.filter(({ stories }) => stories.length > 0);
  return quarterly.flatMap(({ shop, settlements, lines, payouts }) => {
    const amounts = settlements.map((settlement) => {
      const all = (lines.get(settlement.id) ?? []).map(
        ({ kind, payment_id, amount, fee, fee_plan_version, effective_at, business_date }) =>
          [kind, refs.get(payment_id), amount, fee, fee_plan_version, effective_at, business_date].join(' '),
      );
      return JSON.stringify([shownOf(settlement), all.sort()]);
    });
    return [...amounts, ...paidOut(shop, payouts)].sort().map((line) => `${shop.plan.name}: ${line}`);
  });
}

/** What is paid out by itself after days that were caught up in one night comes in more payouts or in fewer, and to the same. */
function paidOut({ plan }: Shop, payouts: readonly Json[]): string[] {
  if (plan.daily === undefined)
    return payouts.map(({ amount, currency, destination, status, fee }) =>
      [amount, currency, destination, status, fee].join(' '),
    );
  return [...Map.groupBy(payouts, ({ currency }) => currency)].map(([currency, all]) => {
    return `paid ${all.reduce((sum, { amount }) => sum + BigInt(amount), 0n)} ${currency}`;
  });
}

function listed(names: readonly string[]): string {
  return [...Map.groupBy(names, (name) => name)].map(([name, all]) => `${name} ${all.length}`).join(', ') || 'none';
}
