/**
 * Does everything work at all? One merchant, a few seconds: each arrival posts, sends the same again, reads it back, holds and captures or
 * voids, asks for what it must be refused, and is told why in the contract's words.
 *
 *   npm run k6 -- smoke
 */
import { askOnce, get, type Request } from './lib/client.ts';
import { problemOf } from './lib/contract.ts';
import { openMerchant, wallet } from './lib/merchants.ts';
import { type Merchant, type Posting, requestOf } from './lib/postings.ts';
import { arrival, begin, client, hold, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 10, 5);
const SECONDS = durationOf('10s', '5s');
const WALLETS = 10;
/** Four of the nine that an arrival asks for are refused. */
const REFUSED = 0.45;
/** What must be refused has no status of success. */
const NEVER = -1;

export const options = optionsOf({ rate: RATE, seconds: SECONDS, bounded: ['POST /transactions'], refused: REFUSED });

interface Run {
  readonly merchant: Merchant;
  readonly stranger: Merchant;
}

export async function setup(): Promise<Run> {
  begin();
  const run = Date.now();
  const stranger = await openMerchant(`k6 smoke stranger ${run}`, { wallets: 0 });
  return { merchant: await openMerchant(`k6 smoke ${run}`, { wallets: WALLETS }), stranger };
}

export const load = client(async ({ merchant, stranger }: Run) => {
  const n = arrival();
  const posting = postingOf(merchant, n);
  const { kind, answer, noted } = await postNoted(merchant, posting);
  if (kind !== 'done') return;
  const again = await askOnce(world, requestOf(posting, merchant.key), { status: 201 });
  const isReplay = again.answer.body === answer.body && again.answer.header('Idempotent-Replayed') === 'true';
  if (again.kind === 'done') hold(isReplay, 'the same key gives the same answer', posting.ref);
  const path = `/v1/transactions/${noted.id}`;
  const { external_ref } = await get<{ external_ref: string }>(world, merchant.key, path);
  hold(external_ref === posting.ref, 'a posting is there under its id', posting.ref);
  await holdAndEnd(merchant, n);
  await expectRefusals(merchant, stranger, posting, path);
});

function postingOf({ id }: Merchant, n: number): Posting {
  return {
    merchant: id,
    ref: `smoke-${n}`,
    from: wallet(n % WALLETS),
    to: wallet((n + 3) % WALLETS),
    amount: 1 + (n % 7),
  };
}

/** A hold of 10, of which 4 are captured, or none. */
async function holdAndEnd(merchant: Merchant, n: number): Promise<void> {
  const about = { ...postingOf(merchant, n), amount: 10 };
  const { noted } = await postNoted(merchant, { ...about, ref: `hold-${n}`, effect: { kind: 'hold' } });
  if (noted.id === undefined) return;
  const end = { parent: noted.id, held: 10 };
  if (n % 2 === 0)
    await postNoted(merchant, { ...about, ref: `end-${n}`, amount: 4, effect: { kind: 'capture', ...end } });
  else await postNoted(merchant, { ...about, ref: `end-${n}`, effect: { kind: 'void', ...end } });
}

async function expectRefusals(merchant: Merchant, stranger: Merchant, posting: Posting, path: string): Promise<void> {
  const request = requestOf(posting, merchant.key);
  const other = requestOf({ ...posting, amount: posting.amount + 1 }, merchant.key);
  const wrong = { ...request, idempotencyKey: `wrong-${posting.ref}`, body: { type: 'transfer', entries: [] } };
  const foreign: Request = { method: 'GET', path, key: stranger.key, name: 'GET /transactions/{id} of another' };
  const { idempotencyKey: _, ...keyless } = request;
  for (const [asked, code] of [
    [other, 'idempotency_key_reused'],
    [wrong, 'validation_failed'],
    [foreign, 'not_found'],
    [keyless, 'idempotency_key_required'],
  ] as const) {
    const { kind, answer } = await askOnce(world, asked, { status: NEVER, refusals: [code] });
    if (kind === 'refused') hold(problemOf(answer) === code, 'a refusal says why', `${code}: ${answer.body}`);
  }
}

export const teardown = client(async ({ merchant, stranger }: Run) => {
  await verify([merchant, stranger]);
});
