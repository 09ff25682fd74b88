import type { Database } from '#platform/postgres.js';
import type { RequestBounds, RequestContext } from '#platform/request-context.js';
import type { ProviderFact, ToldOutcome } from '../provider-fact.js';
import { type InboxResult, type InboxRow, settle } from './inbox-store.js';
import { isText, type Told } from './provider.js';
import { providerOf } from './providers.js';

/** Records facts; their outcomes in the same order. Facts that are known already come to nothing more. */
export type RecordFacts = (context: RequestContext, facts: readonly ProviderFact[]) => Promise<readonly ToldOutcome[]>;

/** Facts that are handed over at once. */
const BATCH = 100;
/** Before this there were no payments by wire; nor is a ledger of them open. */
const OLDEST_MS = Date.UTC(1970, 0, 1);

type ToldFact = Extract<Told, { fact: unknown }>;

/** What was applied of the inbox in this process, by what became of it. */
export type InboxCounts = Record<InboxResult['outcome'] | 'undeliverable', number>;

/** Applies what providers told. Twice is once: facts have identities. */
export class Inbox {
  readonly counts: InboxCounts = {
    applied: 0,
    duplicate: 0,
    stale: 0,
    parked: 0,
    rejected: 0,
    ignored: 0,
    undeliverable: 0,
  };

  constructor(
    private readonly database: Database,
    private readonly record: RecordFacts,
    private readonly options: { clockSkewMs: number },
  ) {}

  /** Returns false when nothing in it can be read, which is settled as well. Throws what the ledger throws: then it still waits. */
  async apply(row: InboxRow, bounds: RequestBounds): Promise<boolean> {
    const translation = providerOf(row.provider).translate(row.body, row.receivedAtMs);
    if ('unreadable' in translation) {
      const results: InboxResult[] = [{ what: 'the body', outcome: 'ignored', reason: translation.unreadable }];
      await settle(this.database, row, { outcome: 'undeliverable', results }, bounds.deadline);
      this.counts.undeliverable += 1;
      return false;
    }
    const results: InboxResult[] = [];
    for (let at = 0; at < translation.told.length; at += BATCH) {
      results.push(...(await this.#applyBatch(row, translation.told.slice(at, at + BATCH), bounds)));
    }
    await settle(this.database, row, { outcome: 'done', results }, bounds.deadline);
    for (const { outcome } of results) this.counts[outcome] += 1;
    return true;
  }

  async #applyBatch(row: InboxRow, told: readonly Told[], bounds: RequestBounds): Promise<InboxResult[]> {
    const facts = told.filter((one): one is ToldFact => this.#whyIgnored(one, row) === undefined);
    const { merchantId, provider } = row;
    const given = facts.map(({ what: _, ...fact }) => ({ provider, ...fact }));
    const outcomes = given.length === 0 ? [] : await this.record({ merchantId, ...bounds }, given);
    const byFact = new Map(facts.map((one, at) => [one, outcomes[at]]));
    return told.map((one) => {
      const outcome = byFact.get(one as ToldFact);
      return outcome ? recorded(one as ToldFact, outcome) : ignored(one, this.#whyIgnored(one, row) ?? '');
    });
  }

  #whyIgnored(one: Told, { receivedAtMs }: InboxRow): string | undefined {
    if ('ignored' in one) return one.ignored;
    if (!isStorable(one)) return 'it has the NUL character, or half of a surrogate pair';
    const { occurredAtMs } = one.fact;
    const isOutOfTime = occurredAtMs < OLDEST_MS || occurredAtMs > receivedAtMs + this.options.clockSkewMs;
    return isOutOfTime ? 'it says that it happened before 1970, or later than now' : undefined;
  }
}

function recorded({ what, paymentRef, fact }: ToldFact, { outcome, reason }: ToldOutcome): InboxResult {
  return { what, payment_ref: paymentRef, event_id: fact.id, outcome, ...(reason !== undefined && { reason }) };
}

function ignored(one: Told, reason: string): InboxResult {
  const of = 'fact' in one ? { payment_ref: one.paymentRef, event_id: one.fact.id } : {};
  return { what: one.what, ...of, outcome: 'ignored', reason };
}

/** Whether PostgreSQL takes all of its texts: what it does not would be tried for ever. */
function isStorable({ paymentRef, eventId, fact }: ToldFact): boolean {
  return [paymentRef, eventId, ...Object.values(fact)].every((value) => typeof value !== 'string' || isText(value));
}
