import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PostTransactionCommand } from '#ledger/posting/post-transaction.command.js';
import type { Reactor } from '#outbox/consumers/reactor.js';
import type { EventOf } from '#outbox/log/catalogue.js';

const POLL_MS = 5;

/** Posts a fee for each sale, and reacts to no fee. What a sale's external_ref names in REACTOR_GATES stops it behind the posting. */
export const FEES: Reactor<EventOf<'transaction.posted'>> = {
  name: 'fees',
  failureScope: 'stream',
  from: 'beginning',
  types: ['transaction.posted'],
  async react(event, reaction) {
    if (event.data.type !== 'sale') return;
    const { transaction_id: sale, external_ref: ref, entries } = event.data;
    const [payer, payee] = entries.map(({ account_id }) => ({ id: BigInt(account_id) }));
    if (!payer || !payee) throw new Error('a sale has two entries');
    const half = { amount: 1n, currency: 'EUR' };
    const fee = {
      type: 'fee',
      pending: false,
      externalRef: sale,
      entries: [
        { account: payer, direction: 'debit' as const, ...half },
        { account: payee, direction: 'credit' as const, ...half },
      ],
    };
    await reaction.execute('fee', (context, key) => new PostTransactionCommand(context, fee, key));
    const gate = join(process.env.REACTOR_GATES ?? '/nowhere', ref ?? 'none');
    while (existsSync(gate)) await sleep(POLL_MS);
  },
};
