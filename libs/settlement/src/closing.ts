import { ProblemError } from '#kernel/problem.js';
import type { Account } from '#ledger/accounts/account.js';
import type { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { extended } from '#ledger/writing/group-extension.js';
import type { Writer } from '#ledger/writing/writer.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { CLOSE_DAY, CLOSED, type FeeAccounts } from './close-day.js';
import type { Step } from './next-step.js';

interface Closing {
  readonly writer: Writer;
  readonly system: SystemAccounts;
}

const CURRENCIES_WITH_FEES = `
SELECT merchant_id, array_agg(currency) AS currencies FROM settlement_drafts
 WHERE merchant_id = ANY ($1::bigint[]) AND fees <> 0 GROUP BY merchant_id`;

/** Between which fees are posted. */
const FEE_ACCOUNTS = ['merchant_payable', 'fee_revenue'] as const;

/**
 * In which of the merchants' drafts something is charged, or given back. Their accounts are looked up for all at once: a question for each
 * merchant would keep them from coming into one commit group (docs/figures/night.md).
 */
export async function currenciesWithFees(
  { database, system }: { database: Database; system: SystemAccounts },
  merchantIds: readonly bigint[],
  deadline: Deadline,
): Promise<Map<bigint, readonly string[]>> {
  if (merchantIds.length === 0) return new Map();
  const rows = await database.read<{ merchant_id: bigint; currencies: string[] }>({ merchantIds }, deadline, {
    text: CURRENCIES_WITH_FEES,
    values: [int8Array(merchantIds)],
  });
  const wanted = rows.flatMap((row) => row.currencies.map((currency) => ({ merchantId: row.merchant_id, currency })));
  await system.prepare(wanted, FEE_ACCOUNTS, deadline);
  return new Map(rows.map((row) => [row.merchant_id, row.currencies]));
}

/** Brings the day into a commit group. False: somebody else closed it meanwhile, or is still at work on it. */
export async function closeDay(
  closing: Closing,
  step: Step,
  currencies: readonly string[],
  context: RequestContext,
): Promise<boolean> {
  const { day, next, firstDate, standing } = step;
  const { named, accounts } = await feeAccounts(closing.system, currencies, context);
  const { position, laterZones } = standing;
  const part = { day, nextEndMs: next.endMs, after: position?.businessDate, firstDate, laterZones, accounts };
  const commands = [extended(CLOSE_DAY, part)];
  const request = { mode: 'single', idempotency: undefined, commands, accounts: named } as const;
  const { outcome } = await closing.writer.post(context, request);
  if (outcome.kind !== 'decided') throw new Error('a day without a key was answered as if it had one');
  const [decision] = outcome.decisions;
  if (!decision?.accepted) {
    throw new ProblemError(decision?.code ?? 'internal', decision?.detail ?? 'The writer decided nothing of a day.');
  }
  return 'response' in decision && decision.response === CLOSED.response;
}

/** What a submission names is locked: of those currencies alone in which there are fees. */
async function feeAccounts(system: SystemAccounts, currencies: readonly string[], context: RequestContext) {
  const named = new Map<bigint, Account>();
  const accounts = new Map<string, FeeAccounts>();
  for (const currency of currencies) {
    const [payable, revenue] = (await system.find(context, currency, FEE_ACCOUNTS)) ?? [];
    if (!payable || !revenue) {
      throw new ProblemError('currency_mismatch', `The merchant has no accounts for its fees in ${currency}.`);
    }
    for (const account of [payable, revenue]) named.set(account.id, account);
    accounts.set(currency, { payable: payable.id, revenue: revenue.id });
  }
  return { named, accounts };
}
