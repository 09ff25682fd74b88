import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { DeadLetterWithEvent } from '#outbox/dead-letters/dead-letter.queries.js';
import type { DeadLetter } from '#outbox/dead-letters/dead-letter-store.js';
import { idIn, idOut, listOf, listQuery, textIn, timestampOut } from '../schemas.js';

const statusSchema = z.enum(['parked', 'redriving', 'redriven', 'discarding', 'discarded']);

const event = z.looseObject({
  type: z.string(),
  version: z.int().nullable().meta({
    description: 'In which it was written; from a newer build, perhaps. Null: it is no event of the log.',
  }),
  position: z
    .string()
    .regex(/^[0-9]+-[0-9]+$/)
    .nullable()
    .meta({
      description:
        'Its place in the log, `<xid>-<seq>`. Null: it is no event, but a fact of a payment that waited for too long (consumer `payment_facts`).',
    }),
});

export const deadLetter = z
  .looseObject({
    id: idOut,
    merchant_id: idOut,
    consumer: z.string(),
    status: statusSchema.meta({
      description: '`redriving` and `discarding`: decided, and a worker is about to carry it out.',
    }),
    parks: z.enum(['event', 'stream']).meta({
      description: 'What waits: the event alone, or all later events of its merchant for this consumer.',
    }),
    tries: z.int(),
    error: z.string().meta({ description: 'What the last try came to.' }),
    event,
    trace_id: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .nullable()
      .meta({ description: 'Trace of the request that caused the event.' }),
    decided_by: z.string().nullable(),
    decided_at: timestampOut.nullable(),
    reason: z.string().nullable(),
    created_at: timestampOut,
  })
  .meta({ id: 'DeadLetter' });

export const deadLetterList = listOf(deadLetter, 'DeadLetterList');

export const deadLetterWithEvent = deadLetter
  .extend({
    event: event.extend({
      occurred_at: timestampOut.nullable(),
      data: z.record(z.string(), z.unknown()).nullable().meta({
        description: 'As it was written; null, with `occurred_at`, once the log has been purged of it.',
      }),
    }),
  })
  .meta({ id: 'DeadLetterWithEvent' });

export const listDeadLettersQuery = z.strictObject({
  ...listQuery,
  status: statusSchema.optional(),
  consumer: z.string().min(1).max(64).optional(),
  merchant_id: idIn.optional(),
});

export const decision = z
  .strictObject({
    by: textIn(255).meta({ description: 'Who decides it.' }),
    reason: textIn(1_000).meta({ description: 'Why.' }),
  })
  .meta({ id: 'DeadLetterDecision' });

export function deadLetterBody(letter: DeadLetter) {
  const { decided, traceContext } = letter;
  return {
    id: String(letter.id),
    merchant_id: String(letter.merchantId),
    consumer: letter.consumer,
    status: letter.status,
    parks: letter.failureScope,
    tries: letter.tries,
    error: letter.error,
    event: {
      type: letter.eventType,
      version: letter.eventVersion ?? null,
      position: letter.at ? `${letter.at.xid}-${letter.at.seq}` : null,
    },
    trace_id: traceContext?.split('-')[1] ?? null,
    decided_by: decided?.by ?? null,
    decided_at: decided ? isoTime(decided.atMs) : null,
    reason: decided?.reason ?? null,
    created_at: isoTime(letter.createdAtMs),
  };
}

export function deadLetterWithEventBody(letter: DeadLetterWithEvent) {
  const { event: logged } = letter;
  const data = logged?.data ?? letter.data;
  const body = deadLetterBody(letter);
  return {
    ...body,
    event: {
      ...body.event,
      occurred_at: logged ? isoTime(logged.occurredAtMs) : null,
      data: data === undefined ? null : JSON.parse(data),
    },
  };
}
