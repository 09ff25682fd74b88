import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ProblemError } from '#kernel/problem.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { type DeadLetterWithEvent, letterWithEvent } from './dead-letter.queries.js';
import type { DeadLetterStatus } from './dead-letter-store.js';
import { decideDeadLetter, merchantOfDeadLetter } from './dead-letter-store.js';

const STATUSES = {
  redrive: ['redriving', 'redriven'],
  discard: ['discarding', 'discarded'],
} as const satisfies Record<string, readonly [DeadLetterStatus, DeadLetterStatus]>;

/**
 * An operator's word on a dead letter. A worker carries it out: the letter is `redriving` or `discarding` until then. To
 * decide the same again changes nothing, and the first one's name and reason stay. Throws `not_found`, and
 * `invalid_transition` for a letter about which the contrary was decided.
 */
export class DecideDeadLetterCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly id: bigint,
    readonly decision: { what: keyof typeof STATUSES; by: string; reason: string },
    readonly answering: Answering<DeadLetterWithEvent>,
  ) {
    super();
  }
}

@CommandHandler(DecideDeadLetterCommand)
export class DecideDeadLetterHandler implements ICommandHandler<DecideDeadLetterCommand> {
  constructor(
    private readonly database: Database,
    private readonly requests: IdempotentRequests,
  ) {}

  async execute({ context, id, decision, answering }: DecideDeadLetterCommand): Promise<Answer> {
    const merchantId = await merchantOfDeadLetter(this.database, id, context.deadline);
    const { what, by, reason } = decision;
    const [ongoing, done] = STATUSES[what];
    return this.requests.answer(merchantId, context, answering, async (client) => {
      await decideDeadLetter(client, { merchantId, id }, { status: ongoing, by, reason });
      const letter = await letterWithEvent(client, merchantId, id);
      if (letter.status === ongoing || letter.status === done) return letter;
      throw new ProblemError('invalid_transition', `The dead letter is ${letter.status}: it can no longer be ${done}.`);
    });
  }
}
