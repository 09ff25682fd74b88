import type { CommandBus } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import { type Clock, systemClock } from '#kernel/clock.js';
import { type Deadline, deadlineExceeded } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueResult, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, startFrom } from '#platform/tracing.js';
import type { Bank, Instructed, Known } from './bank.js';
import { instructionKey } from './instruction-key.js';
import { TellPayoutCommand } from './payout.commands.js';
import type { PayoutRow } from './payout-rows.js';
import { findPayout } from './payout-store.js';
import { nextAsk, PAYOUT, PAYOUT_HINT, PAYOUT_WATCH, type PayoutTimes } from './payout-timers.js';
import type { StoredStatus } from './status.js';

interface Parts {
  readonly database: Database;
  readonly commands: Pick<CommandBus, 'execute'>;
  /** Undefined: none is configured. */
  readonly bank: Bank | undefined;
  readonly logger?: Logger;
}

export interface SagaOptions extends PayoutTimes {
  readonly concurrency: number;
}

type Said = TellPayoutCommand['said'];

/**
 * Brings payouts to their end. Each turn asks the bank first: so it does not matter where the one before it ended, and no two tries of
 * an instruction are told apart. What is reserved and unknown to it is sent, always under the same key. What it answers is a command
 * of a commit group; what it has not answered has not happened.
 */
export class PayoutSaga {
  readonly requests: Record<'ask' | 'instruct', Record<string, number>> = {
    ask: { known: 0, absent: 0, unknown: 0 },
    instruct: { accepted: 0, refused: 0, unknown: 0 },
  };
  readonly #parts: Parts;
  readonly #options: SagaOptions;
  readonly #clock: Clock;

  constructor(parts: Parts, options: SagaOptions, clock: Clock = systemClock) {
    this.#parts = parts;
    this.#options = options;
    this.#clock = clock;
  }

  /** What is on its way. */
  get onTheWay(): DueWork {
    return this.#work(PAYOUT);
  }

  /** What was answered, and may be answered otherwise. */
  get watched(): DueWork {
    return this.#work(PAYOUT_WATCH);
  }

  /** What the bank has called back about. */
  get hinted(): DueWork {
    return this.#work(PAYOUT_HINT);
  }

  #work(name: string): DueWork {
    const { database, logger } = this.#parts;
    const run = async ({ merchantId, subjectId }: DueRow, deadline: Deadline): Promise<DueResult> => {
      const payout = await findPayout(database, merchantId, subjectId, deadline);
      if (!payout) return 'done';
      const span = spanOf(payout);
      return inSpan(span, () => this.#advance(name, payout, { merchantId, ...boundsIn(span, deadline) }));
    };
    return new DueWork(database, { name, atOnce: this.#options.concurrency, run }, logger);
  }

  /** The group that changes the payout sets its next time; where nothing has changed, it is asked again. */
  async #advance(kind: string, payout: PayoutRow, context: TellPayoutCommand['context']): Promise<DueResult> {
    const { commands } = this.#parts;
    const heard = await this.#hear(payout, context);
    const steps = heard ? await commands.execute(new TellPayoutCommand(context, payout, heard)) : [];
    if (steps.length > 0) {
      this.#log(payout, steps, heard);
      return 'done';
    }
    const next = nextAsk(payout, this.#options, this.#clock.now());
    return next?.kind === kind ? { againAtMs: next.atMs } : 'done';
  }

  /** Undefined: it was refused, and the bank knows nothing of it. Throws when nothing was learnt: then the row waits. */
  async #hear(payout: PayoutRow, { deadline, span }: TellPayoutCommand['context']): Promise<Said | undefined> {
    const isReserved = payout.status === 'reserved';
    let known = await this.#ask(payout, span);
    if (known.kind === 'absent' && isReserved) {
      // Whoever has slept so long may not be the only one, and the payout not be reserved any more.
      if (deadline.expired) throw deadlineExceeded();
      const sent = await this.#instruct(payout, span);
      if (sent.kind === 'accepted') return said('accepted', sent);
      if (sent.kind === 'refused') return said('refused', { failureCode: sent.code });
      known = await this.#ask(payout, span);
    }
    if (known.kind === 'known') return said(known.status, known);
    if (known.kind === 'unknown') throw new Error('the bank has not answered');
    if (isReserved) throw new Error('the bank knows nothing of an instruction whose outcome is unknown');
    // To send again what it took once, and forgot, could be to pay it twice.
    if (payout.bank_sequence > 0) throw new Error('the bank knows nothing of an instruction that it took');
    return undefined;
  }

  async #ask(payout: PayoutRow, span: Span): Promise<Known> {
    const known = await this.#bank.ask(instructionKey(payout), span);
    this.#count('ask', known.kind);
    return known;
  }

  async #instruct(payout: PayoutRow, span: Span): Promise<Instructed> {
    const { amount, currency, destination, id: reference } = payout;
    const key = instructionKey(payout);
    const instruction = { key, amount: BigInt(amount), currency, destination, reference };
    const sent = await this.#bank.instruct(instruction, span);
    this.#count('instruct', sent.kind);
    return sent;
  }

  get #bank(): Bank {
    if (!this.#parts.bank) throw new Error('no bank is configured (BANK_URL)');
    return this.#parts.bank;
  }

  #count(request: 'ask' | 'instruct', outcome: string): void {
    this.requests[request][outcome] = (this.requests[request][outcome] ?? 0) + 1;
  }

  #log({ merchant_id, id, status }: PayoutRow, steps: readonly StoredStatus[], heard: Said | undefined): void {
    const told = { merchant_id, payout_id: id, from: status, steps, failure_code: heard?.failureCode };
    const isContradiction =
      status === 'failed' || status === 'returned' || (status === 'paid' && steps[0] === 'failed');
    if (isContradiction) this.#parts.logger?.warn(told, 'the bank contradicts what it said of a payout');
    else this.#parts.logger?.info(told, 'a payout went on');
  }
}

/** In the trace of who asked for it. */
function spanOf({ merchant_id, id, status, trace_context }: PayoutRow): Span {
  const attributes = {
    'counterfoil.merchant_id': merchant_id,
    'counterfoil.payout_id': id,
    'counterfoil.status': status,
  };
  return startFrom(trace_context ?? undefined, 'advance payout', { attributes });
}

function said(word: Said['word'], { sequence, reference, failureCode }: Partial<Omit<Said, 'word'>>): Said {
  return { word, sequence, reference, failureCode };
}
