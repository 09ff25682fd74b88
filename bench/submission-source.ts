import { createHash, randomBytes } from 'node:crypto';
import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import type { Account } from '#ledger/accounts/account.js';
import type { Submission } from '#ledger/writing/group-extension.js';
import { Deadline } from '#platform/deadline.js';
import type { BenchMerchant } from './requests.js';

const TIMEOUT_MS = 5_000;

/** Transfers between accounts of one merchant, all drawn at random, for who calls the writer without HTTP. */
export class SubmissionSource {
  readonly #merchants: readonly BenchMerchant[];
  readonly #run = randomBytes(6).toString('hex');
  #sent = 0;

  constructor(merchants: readonly BenchMerchant[]) {
    this.#merchants = merchants;
  }

  next(): Submission {
    const merchant = pick(this.#merchants);
    const payer = pick(merchant.accounts);
    let payee = pick(merchant.accounts);
    while (payee === payer) payee = pick(merchant.accounts);
    const [from, to] = [payer, payee].map(
      (id): Account => ({ id: BigInt(id), code: id, currency: 'EUR', normalSide: 'credit', minAvailable: null }),
    ) as [Account, Account];
    this.#sent += 1;
    const key = `${this.#run}-${this.#sent}`;
    const entry = { amount: 100n, currency: 'EUR' };
    return {
      merchantId: BigInt(merchant.id),
      mode: 'single',
      commands: [
        {
          kind: 'post',
          pending: false,
          type: 'payment',
          entries: [
            { ...entry, accountId: from.id, direction: 'debit' },
            { ...entry, accountId: to.id, direction: 'credit' },
          ],
        },
      ],
      idempotency: { key, requestSha256: createHash('sha256').update(key).digest() },
      accounts: new Map([
        [from.id, from],
        [to.id, to],
      ]),
      parents: new Map(),
      deadline: Deadline.after(TIMEOUT_MS),
      span: trace.wrapSpanContext(INVALID_SPAN_CONTEXT),
    };
  }
}

export function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}
