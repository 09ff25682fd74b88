import { ask, type Request, type Told, type World } from './client.ts';
import { jsonOf, type Kind } from './contract.ts';

/** What moves money, how it is sent, and what is written down of it. Without k6. */
export interface Merchant {
  readonly id: string;
  readonly key: string;
}

/** `held`: what the hold was of that a capture or a void ends. */
type Effect = { kind: 'post' } | { kind: 'hold' } | { kind: 'capture' | 'void'; parent: string; held: number };

/** One that is to be made. The same has the same key, so that it may be sent any number of times. */
export interface Posting {
  /** Id of the merchant. */
  readonly merchant: string;
  /** Its external_ref and, unless it goes in a batch, its Idempotency-Key. */
  readonly ref: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  readonly effect?: Effect;
  /** The batch that it goes in, whose key this is. */
  readonly batch?: { readonly ref: string; readonly mode: Mode };
}

export type Mode = 'atomic' | 'independent';

/** What became of it. `open`: nobody was told; it is asked for again with the same key when the load is over. */
export interface Noted extends Posting {
  readonly outcome: 'acknowledged' | 'refused' | 'open';
  readonly id?: string;
}

const POSTING_NAME = 'POST /transactions';

export function bodyOf({ ref, from, to, amount, effect = { kind: 'post' } }: Posting): object {
  if (effect.kind === 'capture') return { amount: String(amount), final: true, external_ref: ref };
  if (effect.kind === 'void') return { external_ref: ref };
  const money = { amount: String(amount), currency: 'EUR' };
  const entries = [
    { account_code: from, direction: 'debit', ...money },
    { account_code: to, direction: 'credit', ...money },
  ];
  return { type: 'transfer', external_ref: ref, entries, ...(effect.kind === 'hold' && { status: 'pending' }) };
}

export function requestOf(posting: Posting, key: string): Request {
  const { effect = { kind: 'post' }, ref } = posting;
  const common = { method: 'POST', key, idempotencyKey: ref, body: bodyOf(posting) } as const;
  if (effect.kind === 'capture' || effect.kind === 'void') {
    const what = effect.kind === 'capture' ? 'post' : 'void';
    return { ...common, path: `/v1/transactions/${effect.parent}/${what}`, name: `${POSTING_NAME}/{id}/${what}` };
  }
  return { ...common, path: '/v1/transactions', name: POSTING_NAME };
}

/** Sends it until the answer is definite. */
export async function post(
  world: World,
  { key }: Merchant,
  posting: Posting,
  refusals: readonly string[] = [],
): Promise<Told & { noted: Noted }> {
  const told = await ask(world, requestOf(posting, key), { status: 201, refusals });
  const id = told.kind === 'done' ? jsonOf<{ id: string }>(told.answer.body)?.id : undefined;
  return { ...told, noted: { ...posting, outcome: outcomeOf(told.kind), ...(id !== undefined && { id }) } };
}

/** What was answered wrongly may have been done. */
function outcomeOf(kind: Kind): Noted['outcome'] {
  if (kind === 'done') return 'acknowledged';
  return kind === 'refused' ? 'refused' : 'open';
}

interface Result {
  readonly status: number;
  readonly transaction?: { readonly id: string };
  readonly problem?: { readonly code: string };
}

export function batchRequest(key: string, postings: readonly Posting[]): Request {
  const { ref = '', mode } = postings[0]?.batch ?? {};
  const body = { mode, transactions: postings.map(bodyOf) };
  const path = '/v1/transactions/batch';
  return { method: 'POST', path, key, idempotencyKey: ref, body, name: `${POSTING_NAME}/batch` };
}

/** All of them in one request. An atomic one that is refused is refused whole. */
export async function postBatch(
  world: World,
  { key }: Merchant,
  postings: readonly Posting[],
  refusals: readonly string[] = [],
): Promise<Told & { noted: Noted[] }> {
  const told = await ask(world, batchRequest(key, postings), { status: 200, refusals });
  const results = told.kind === 'done' ? (jsonOf<{ results: Result[] }>(told.answer.body)?.results ?? []) : [];
  const noted = postings.map((posting, n) => {
    if (told.kind !== 'done') return { ...posting, outcome: outcomeOf(told.kind) };
    return { ...posting, ...ofItem(results[n], refusals) };
  });
  return { ...told, noted };
}

function ofItem(result: Result | undefined, refusals: readonly string[]): Pick<Noted, 'outcome' | 'id'> {
  if (result?.status === 201 && result.transaction) return { outcome: 'acknowledged', id: result.transaction.id };
  return { outcome: refusals.includes(result?.problem?.code ?? '') ? 'refused' : 'open' };
}
