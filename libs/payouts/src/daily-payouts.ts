import type { Reactor } from '#outbox/consumers/reactor.js';
import type { EventOf } from '#outbox/log/catalogue.js';

/** Pays out by itself, after each settlement, what is settled and not paid out: of merchants who want that. */
export const DAILY_PAYOUTS: Reactor<EventOf<'settlement.posted'>> = {
  name: 'daily_payouts',
  // A payout is of all that is settled: one that failed is made up for by the next.
  failureScope: 'event',
  from: 'now',
  types: ['settlement.posted'],
  async react({ data: { currency } }, reaction) {
    // Rooms are loaded by processes of consumers, too, which do without commands.
    const { PayOutDailyCommand } = await import('./payout.commands.js');
    await reaction.execute('payout', (context, idempotency) => new PayOutDailyCommand(context, currency, idempotency));
  },
};
