import type { CommandBus } from '@nestjs/cqrs';
import { decidedRoomLetters } from '#outbox/dead-letters/room-letters.js';
import { Deadline } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueKind, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, startFrom } from '#platform/tracing.js';
import { PAYMENT_FACTS } from './parked-letters.js';
import { ExpirePaymentCommand, SettleParkedFactCommand, type TimerOutcome } from './timer.commands.js';
import { PARKED_FACT, PAYMENT_EXPIRY } from './timers.js';

/** What is done about payments when its time has come, through the same writer as everything. Safe in any number of processes. */

interface Parts {
  readonly database: Database;
  readonly commands: CommandBus;
  readonly logger?: Logger;
}

const LETTERS = 100;
const WORK_MS = 10_000;

type Context = ExpirePaymentCommand['context'];

function traced<T>(
  name: string,
  merchantId: bigint,
  deadline: Deadline,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const span = startFrom(undefined, name, { attributes: { 'counterfoil.merchant_id': String(merchantId) } });
  return inSpan(span, () => work({ merchantId, ...boundsIn(span, deadline) }));
}

/** The group that takes away what is held takes its row away. */
export function paymentExpiry({ database, commands, logger }: Parts): DueWork {
  const run: DueKind['run'] = ({ merchantId, subjectId }, deadline) =>
    traced('expire payment', merchantId, deadline, async (context) =>
      settled(await commands.execute(new ExpirePaymentCommand(context, subjectId))),
    );
  return new DueWork(database, { name: PAYMENT_EXPIRY, run }, logger);
}

/** Leaves a dead letter of each fact that has waited for too long. */
export function parkedFacts({ database, commands, logger }: Parts): DueWork {
  const run = ({ merchantId, subjectId: id }: DueRow, deadline: Deadline) =>
    traced('give up on parked fact', merchantId, deadline, async (context) =>
      settled(await commands.execute(new SettleParkedFactCommand(context, { kind: 'give_up', id }))),
    );
  return new DueWork(database, { name: PARKED_FACT, run }, logger);
}

function settled(outcome: TimerOutcome): 'done' | 'not yet' {
  return outcome === 'needless' ? 'done' : outcome;
}

/** Carries out what operators decided about facts' dead letters. Returns how many. */
export async function settleFactLetters({ database, commands }: Parts): Promise<number> {
  const decided = await decidedRoomLetters(database, PAYMENT_FACTS, LETTERS, Deadline.after(WORK_MS));
  for (const { merchantId, subjectId: id, decision, by, reason } of decided) {
    const ask =
      decision === 'redrive' ? ({ kind: 'redrive', id } as const) : ({ kind: 'discard', id, by, reason } as const);
    await traced(`${decision} parked fact`, merchantId, Deadline.after(WORK_MS), (context) =>
      commands.execute(new SettleParkedFactCommand(context, ask)),
    );
  }
  return decided.length;
}
