import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { CATALOGUE, type EventType, isCurrent, readEvent, UnknownEvent } from '#outbox/log/catalogue.js';
import { positionText } from '#outbox/log/position.js';
import { listQuery, timestampOut } from '../schemas.js';

const MAX_WAIT_MS = 300_000;

const event = z
  .looseObject({
    id: z
      .string()
      .regex(/^[0-9]+-[0-9]+$/)
      .meta({ description: 'Its place in the log: unique to the event, the same each time it is told.' }),
    type: z.string().meta({ examples: Object.keys(CATALOGUE) as EventType[] }),
    version: z.int().meta({ description: 'Which shape `data` has: docs/events.md.' }),
    occurred_at: timestampOut,
    data: z.looseObject({}),
  })
  .meta({ id: 'Event' });

export const eventList = z
  .looseObject({
    data: z.array(event),
    has_more: z.boolean(),
    next_cursor: z.string().meta({
      description: 'For `after`, to go on behind this page. Also at the end of the log, for what comes next.',
    }),
  })
  .meta({ id: 'EventList' });

export const listEventsQuery = z.strictObject({
  limit: listQuery.limit,
  after: listQuery.cursor.meta({
    description: '`next_cursor` of the page before; without it the log is told from its beginning.',
  }),
  wait_ms: z
    .string('must be given once')
    .regex(/^[0-9]{1,6}$/, `must be a whole number from 0 to ${MAX_WAIT_MS}`)
    .transform(Number)
    .refine((waitMs) => waitMs <= MAX_WAIT_MS, `must be a whole number from 0 to ${MAX_WAIT_MS}`)
    .default(0)
    .meta({
      description:
        'How long to wait for the first event where there is none: milliseconds, cut to EVENT_WAIT_MAX_MS and the deadline of requests.',
      type: 'integer',
      minimum: 0,
      maximum: MAX_WAIT_MS,
      default: 0,
    }),
});

/** As JSON. What is in its current version is told as it stands in the log: neither read nor written again. */
export function eventText(logged: LoggedEvent): string {
  const { type, version, data } = currentOf(logged);
  const head = { id: positionText(logged), type, version, occurred_at: isoTime(logged.occurredAtMs) };
  return `${JSON.stringify(head).slice(0, -1)},"data":${data}}`;
}

/**
 * An event of a newer build is told as that build wrote it, and as it will tell it: left out it would be a gap, and refused it
 * would hold up all that follow.
 */
function currentOf(logged: LoggedEvent): { type: string; version: number; data: string } {
  const { type, version, data } = logged;
  if (isCurrent(logged)) return { type, version, data: compact(data) };
  try {
    const read = readEvent(logged);
    return { type, version: read.version, data: JSON.stringify(read.data) };
  } catch (error) {
    if (!(error instanceof UnknownEvent)) throw error;
    return { type, version, data: JSON.stringify(JSON.parse(data)) };
  }
}

/** Without the white space that PostgreSQL writes from the first member on, and between lines, which would end one of a stream. */
function compact(data: string): string {
  const isCompact = data[data.indexOf('"', 2) + 1] === ':' && !data.includes('\n');
  return isCompact ? data : JSON.stringify(JSON.parse(data));
}
