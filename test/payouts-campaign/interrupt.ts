import { until } from '../support/until.js';
import { CHANGED, type Destination, ENDS, type Point } from './points.js';
import { CURRENCY, type Shop, type Stage } from './stage.js';
import { Trap } from './trap.js';

const REACHED_WITHIN_MS = 20_000;
/** Longer than a request to the bank is waited for: a worker does what is due page by page. */
const NOBODY_MORE_MS = 4_000;
const ENDED_WITHIN_MS = 90_000;
const LEASES_EVERY_MS = 1_000;
const GROUP = 'write-group';
/** accepted, paid, returned; accepted, failed, paid. */
const WORDS_WHERE_CHANGED = 3;
/** What a killed worker had claimed is free, and what failed is tried again, as after their time. */
const LEASES_END = `
UPDATE due_rows SET try_at = now() WHERE kind LIKE 'payout%' AND due_at <= now() AND try_at > now()`;
const STANDINGS = 'SELECT destination, status, bank_sequence FROM payouts WHERE id = ANY ($1::bigint[])';

interface Standing {
  readonly destination: Destination;
  readonly status: string;
  readonly bank_sequence: number;
}

/** One payout of a destination, as it was answered. */
export interface Asked {
  readonly shop: Shop;
  readonly id: string;
  readonly amount: bigint;
}

interface Interrupted {
  readonly asked: readonly Asked[];
  /** Whose payouts came to the point. */
  readonly hit: readonly Destination[];
  /** What has not come to its end, in words. */
  readonly open: readonly string[];
}

/** Asks for a payout of each shop, interrupts all of them at one point, and waits until each has come to its end. */
export async function interrupt(
  stage: Stage,
  point: Point,
  { shops, amount }: { shops: readonly Shop[]; amount: () => bigint },
): Promise<Interrupted> {
  // What is asked for at the API is interrupted there; the worker finds it all at once.
  stage.worker.pause();
  const isOfApi = 'of' in point.at && point.at.of === 'api';
  const before = isOfApi ? arm(stage, point) : undefined;
  const asking = Promise.all(shops.map((shop) => ask(stage, shop, amount())));
  asking.catch(() => undefined);
  if (!isOfApi) await asking;
  const armed = before ?? arm(stage, point);
  await armed.ready;
  stage.worker.resume();
  const wanted = shops.filter(({ destination }) => point.reached.includes(destination));
  const hit = await whoReached(wanted, armed);
  await strike(stage, point, armed);
  const asked = await asking;
  return { asked, hit, open: await untilEnded(stage, asked) };
}

export async function ask(stage: Stage, shop: Shop, amount: bigint): Promise<Asked> {
  const body = { amount: String(amount), currency: CURRENCY, destination: shop.destination };
  const { id } = await stage.post('/v1/payouts', shop.key, body);
  return { shop, id, amount };
}

interface Armed {
  readonly ready: Promise<unknown>;
  /** Whether a payout of the shop is there. */
  holds(shop: Shop): Promise<boolean>;
  disarm(): Promise<unknown>;
}

function arm({ bank, wires }: Stage, { at }: Point): Armed {
  if ('of' in at) {
    const { of, begins, reach, says } = at;
    const isIt = (sent: Buffer): boolean =>
      begins === GROUP ? (says?.test(sent.toString('latin1')) ?? true) : !sent.includes(GROUP);
    const trap = new Trap(wires[of], { begins, isIt, reach });
    const isOf = (shop: Shop) => (sent: Buffer) =>
      sent.includes(`"merchant_id":"${shop.id}"`) || sent.includes(int8(shop.id));
    return { ready: Promise.resolve(), holds: async (shop) => trap.holds(isOf(shop)), disarm: async () => trap.open() };
  }
  const isOf = (shop: Shop, key: string): boolean => key.startsWith(`${shop.id}-`);
  return {
    ready: bank.fail(...at),
    holds: async (shop) => (await bank.befallen()).some((key) => isOf(shop, key)),
    disarm: () => bank.fail(),
  };
}

/** As PostgreSQL has it in a binary array. */
function int8(id: string): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(id));
  return bytes;
}

/** Those that came there: not always all, as what is held holds up what comes behind it. */
async function whoReached(wanted: readonly Shop[], armed: Armed): Promise<Destination[]> {
  const there = new Set<Destination>();
  let lastCameMs = performance.now();
  const look = async (): Promise<boolean> => {
    for (const { shop, isThere } of await Promise.all(
      wanted.map(async (one) => ({ shop: one, isThere: await armed.holds(one) })),
    )) {
      if (!isThere || there.has(shop.destination)) continue;
      there.add(shop.destination);
      lastCameMs = performance.now();
    }
    return there.size === wanted.length || (there.size > 0 && performance.now() - lastCameMs > NOBODY_MORE_MS);
  };
  await until('somebody comes there', look, REACHED_WITHIN_MS).catch(() => undefined);
  return [...there];
}

/** What was held is lost; who was killed is there again. */
async function strike(stage: Stage, { victim, awayMs }: Point, armed: Armed): Promise<void> {
  if (victim === 'bank') {
    await stage.bank.end('SIGKILL');
    await stage.bank.start();
  } else if (victim === 'nobody') {
    await armed.disarm();
    if (awayMs) await stage.bank.away(awayMs);
  } else {
    await stage[victim].crash();
    await armed.disarm();
    await stage[victim].start();
  }
}

/** Answers what has not ended by then. */
export async function untilEnded({ owner }: Stage, asked: readonly Asked[]): Promise<string[]> {
  const ids = asked.map(({ id }) => id);
  let leasesEndAtMs = 0;
  let open: Standing[] = [];
  const look = async (): Promise<boolean> => {
    if (performance.now() > leasesEndAtMs) {
      leasesEndAtMs = performance.now() + LEASES_EVERY_MS;
      await owner.query(LEASES_END);
    }
    open = (await owner.query<Standing>(STANDINGS, [ids])).rows.filter(isOpen);
    return open.length === 0;
  };
  await until('every payout has ended', look, ENDED_WITHIN_MS).catch(() => undefined);
  return open.map(({ destination, status }) => `${destination} is still ${status}`);
}

/** `paid` is no end where the bank will say more. */
function isOpen({ destination, status, bank_sequence }: Standing): boolean {
  return status !== ENDS[destination] || (CHANGED.includes(destination) && bank_sequence < WORDS_WHERE_CHANGED);
}
