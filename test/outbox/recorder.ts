import type { Consumer, LoggedEvent } from '#outbox/consumers/consumer.js';
import { int8Array } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';

/** What tests look at: one row for each application of an event, in the order of the applications. */
export const RECORDS = `
CREATE TABLE records (merchant_id bigint, consumer text, xid xid8, seq bigint, number bigserial);
CREATE TABLE cured (ref text PRIMARY KEY);
GRANT SELECT, INSERT ON records, cured TO counterfoil_runtime;
GRANT USAGE ON SEQUENCE records_number_seq TO counterfoil_runtime;`;

/** Ways to fail, which an event asks for with its transaction's external_ref: `poison:<how>`. */
const FAILURES: Record<string, () => unknown> = {
  throw: () => {
    throw new Error('poison');
  },
  hang: () => new Promise(() => undefined),
  spin: () => {
    for (;;);
  },
  exit: () => process.exit(3),
  memory: () => {
    const eaten: unknown[] = [];
    // In large pieces: few rounds of the garbage collector, so that it is over before the handler is silent for too long.
    for (;;) eaten.push(new Array(1_000_000).fill(eaten.length));
  },
};

/** Records what it is given, and fails as it is asked to until the ref is in `cured`. */
export class Recorder implements Consumer {
  constructor(
    readonly name: string,
    readonly failureScope: 'event' | 'stream',
  ) {}

  async apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    for (const { data } of events) {
      const ref: string = JSON.parse(data).external_ref ?? '';
      if (!ref.startsWith('poison:')) continue;
      const { rows } = await client.query({ text: 'SELECT 1 FROM cured WHERE ref = $1', values: [ref] });
      if (rows.length === 0) await FAILURES[ref.split(':')[1] ?? '']?.();
    }
    await client.query({
      text: `INSERT INTO records (merchant_id, consumer, xid, seq)
             SELECT m, $1, x, s FROM unnest($2::bigint[], $3::xid8[], $4::bigint[]) WITH ORDINALITY AS e (m, x, s, place) ORDER BY place`,
      values: [
        this.name,
        int8Array(events.map(({ merchantId }) => merchantId)),
        events.map(({ xid }) => xid),
        int8Array(events.map(({ seq }) => seq)),
      ],
    });
  }
}

export const RECORDERS = [new Recorder('by_stream', 'stream'), new Recorder('by_event', 'event')];
