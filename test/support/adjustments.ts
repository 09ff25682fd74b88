import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import type { Adjust, NewEntry } from '#ledger/posting/command.js';
import { extended, type GroupExtension, type Outcome } from '#ledger/writing/group-extension.js';
import { Writer } from '#ledger/writing/writer.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { TestApi } from './api.js';

/** What payments do, without payments: an extension whose part is an adjustment, of a type that is none of theirs. */
const ADJUSTMENTS: GroupExtension<Adjust> = {
  name: 'adjustments',
  decide: (adjust, turn) => {
    const decision = turn.post(adjust);
    if (!decision.accepted) return decision;
    return { status: 201, response: JSON.stringify({ id: String(decision.transaction.id) }) };
  },
};

/** Debits of the first account and credits of the second, as much posted and as much pending. */
export function moved(from: bigint, to: bigint, posted: bigint, pending: bigint, more: Partial<Adjust> = {}): Adjust {
  const entry = { currency: 'EUR', posted, pending };
  const entries: NewEntry[] = [
    { ...entry, accountId: from, direction: 'debit' },
    { ...entry, accountId: to, direction: 'credit' },
  ];
  return { kind: 'adjust', type: 'test.told', entries, ...more };
}

export async function submitAdjustment(
  { writer, directory }: { writer: Writer; directory: AccountDirectory },
  context: RequestContext,
  adjust: Adjust,
  idempotency?: Idempotency,
): Promise<Outcome> {
  const ids = adjust.entries.map(({ accountId: id }) => ({ id }));
  const found = await directory.find(context.merchantId, ids, context.deadline);
  const accounts = new Map(found.flatMap((account) => (account ? [[account.id, account] as const] : [])));
  const request = { mode: 'single' as const, commands: [extended(ADJUSTMENTS, adjust)], accounts, idempotency };
  return (await writer.post(context, request)).outcome;
}

/** In an API's process, as payments do it there. Answers the adjustment's id. */
export async function adjustOn(api: TestApi, merchant: { id: string }, adjust: Adjust): Promise<string> {
  const ledger = {
    writer: api.app.get(Writer, { strict: false }),
    directory: api.app.get(AccountDirectory, { strict: false }),
  };
  const span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
  const context = { merchantId: BigInt(merchant.id), deadline: Deadline.after(20_000), span, cost: new Cost() };
  return String(adjustedId(await submitAdjustment(ledger, context, adjust)));
}

/** The adjustment's id. Throws what it is refused with. */
export function adjustedId(outcome: Outcome): bigint {
  const [decision] = outcome.kind === 'decided' ? outcome.decisions : [];
  if (!decision?.accepted || !('transactionIds' in decision))
    throw new Error(`not adjusted: ${JSON.stringify(outcome)}`);
  return decision.transactionIds[0] as bigint;
}
