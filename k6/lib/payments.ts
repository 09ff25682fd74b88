import { Counter } from 'k6/metrics';
import {
  type ApiPayment,
  type Ending,
  endingOf,
  PAYMENT_ACCOUNTS,
  shownOf,
} from '../../apps/provider-simulator/src/ending.ts';
import type { Life, ProviderFact } from '../../apps/provider-simulator/src/life.ts';
import type { Books } from './books.ts';
import { ask, get, nameOf } from './client.ts';
import { jsonOf } from './contract.ts';
import type { Merchant } from './postings.ts';
import { hold } from './run.ts';
import { world } from './world.ts';

/** Payments: telling the facts of their lives, and asking where they ended. */

const PROVIDER = 'k6';

export const outcomes = new Counter('facts_outcomes');
export const lives = new Counter('lives_verified');

const PLACED = ['applied', 'stale'];
const OUTCOMES = ['applied', 'duplicate', 'stale', 'parked'];

interface Outcome {
  outcome: string;
  reason?: string;
}

/** Something to tell: what the provider knows, or that the merchant opens the payment itself. */
export type Message = { fact: ProviderFact } | { open: Life };

export async function tell(merchant: Merchant, message: Message): Promise<void> {
  if ('open' in message) return openPayment(merchant, message.open);
  const told = await send<Outcome>(merchant, '/v1/provider_events', { provider: PROVIDER, ...message.fact }, 202);
  if (told) count([told]);
}

/** All of them in one request, in this order; what a merchant opens goes on its own. */
export async function tellBatch(merchant: Merchant, messages: readonly Message[]): Promise<void> {
  for (const message of messages) if ('open' in message) await openPayment(merchant, message.open);
  const events = messages.flatMap((message) => ('fact' in message ? [{ provider: PROVIDER, ...message.fact }] : []));
  if (events.length === 0) return;
  const told = await send<{ results: Outcome[] }>(merchant, '/v1/provider_events/batch', { events }, 202);
  if (!told) return;
  hold(
    told.results.length === events.length,
    'a batch is answered item by item',
    `${told.results.length} of ${events.length}`,
  );
  count(told.results);
}

/** By everybody who tells of it, with one key: it is opened once. */
async function openPayment(merchant: Merchant, { ref, currency, opening }: Life): Promise<void> {
  const body = { ...opening, currency, provider: PROVIDER, provider_ref: ref };
  await send(merchant, '/v1/payments', body, 201, `open-${ref}`);
}

/** A fact's identity is its own, so that it may be sent again without a key. */
async function send<T>(
  { key }: Merchant,
  path: string,
  body: object,
  status: number,
  ref?: string,
): Promise<T | undefined> {
  const request = { method: 'POST', path, key, name: nameOf('POST', path), body } as const;
  const told = await ask(world, ref === undefined ? request : { ...request, idempotencyKey: ref }, { status });
  hold(
    told.kind === 'done',
    'what is true is taken',
    `${path}: ${told.answer.status} ${told.answer.body.slice(0, 500)}`,
  );
  return told.kind === 'done' ? jsonOf<T>(told.answer.body) : undefined;
}

function count(results: readonly Outcome[]): void {
  for (const { outcome, reason } of results) {
    outcomes.add(1, { outcome });
    hold(OUTCOMES.includes(outcome), 'what is true is never rejected', `${outcome}: ${reason}`);
  }
}

/** Asks for one life: it is there once, ended where its story did, and its timeline has every fact that was told. */
export async function verifyLife(merchant: Merchant, life: Life, told: readonly ProviderFact[]): Promise<void> {
  const where = `/v1/payments?provider=${PROVIDER}&provider_ref=${life.ref}`;
  const { data } = await get<{ data: { id: string }[] }>(world, merchant.key, where);
  if (!hold(data.length === 1, 'a payment is there once', `${life.plot} ${life.ref}: ${data.length} times`)) return;
  const payment = await get<ApiPayment>(world, merchant.key, `/v1/payments/${data[0]?.id}`);
  const [is, oughtToBe] = [JSON.stringify(seen(payment)), JSON.stringify(expected(life, told))];
  const what = `${life.plot} ${life.ref} ended as\n  ${is}, not as\n  ${oughtToBe}`;
  if (hold(is === oughtToBe, 'a payment ended where its facts say', what)) lives.add(1);
}

/** A payment without findings, whose every fact was placed. */
function seen(payment: ApiPayment) {
  const placed = payment.timeline.filter(({ source, outcome }) => source === 'provider' && PLACED.includes(outcome));
  const findings = payment.findings.map(({ kind }) => kind);
  return { shown: shownOf(payment), findings, placed: placed.map((fact) => fact.event_id).sort() };
}

function expected(life: Life, told: readonly ProviderFact[]): ReturnType<typeof seen> {
  return { shown: endingOf(life).shown, findings: [], placed: told.map((fact) => fact.event_id).sort() };
}

/** What payments moved on a merchant's accounts is what its lives say, posted and pending. */
export function verifyPaymentBalances({ accounts }: Books, currency: string, told: readonly Life[]): void {
  const endings = told.map(endingOf);
  for (const name of PAYMENT_ACCOUNTS) {
    const { balance } = accounts.find(({ code }) => code === `${name}:${currency}`) ?? {};
    const is = [balance?.posted, balance?.pending].map((totals) =>
      String(BigInt(totals?.debits ?? 0) - BigInt(totals?.credits ?? 0)),
    );
    const sum = (of: (ending: Ending) => number) => String(endings.reduce((total, ending) => total + of(ending), 0));
    const oughtToBe = [sum(({ posted }) => posted[name]), sum(({ pending }) => pending[name] ?? 0)];
    const what = `${name}:${currency} has ${is}, not ${oughtToBe} (posted, pending)`;
    hold(is.join() === oughtToBe.join(), 'an account has what its payments say', what);
  }
}
