import { afterAll, beforeAll, expect, test } from 'vitest';
import { RECORDS } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { asAdmin } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import type { ReceivedSpan } from './support/otlp.js';
import { SpanReceiver } from './support/span-receiver.js';
import { treeOf } from './support/trace-trees.js';
import { until } from './support/until.js';

/** What handlers' own processes export: nothing else is traced here, so that no relay tells them of a trace. */

const REQUEST = 'b'.repeat(16);
let api: TestApi;
let ledger: TestLedger;
let outbox: TestOutbox;
let spans: SpanReceiver;

beforeAll(async () => {
  [api, spans] = await Promise.all([TestApi.start(), SpanReceiver.open()]);
  await asAdmin(api.on.ownerUrl, (admin) => admin.query(RECORDS));
  ledger = await TestLedger.open(api.on);
  const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: spans.url, TRACE_SAMPLE_RATIO: '0', TRACE_SLOW_MS: '0' };
  outbox = await TestOutbox.start(api.on, ledger, { environment });
});
afterAll(async () => {
  await outbox.stop();
  await Promise.all([ledger.close(), spans.close()]);
  await api.stop();
});

const newTrace = () => crypto.randomUUID().replaceAll('-', '');

/** A posting of a trace that was sampled, or was not. */
async function post(shop: Merchant, ref: string, { sampled = true } = {}): Promise<string> {
  const trace = newTrace();
  const answer = await shop.client.post('/v1/transactions', {
    body: transfer('cash:EUR', 'suspense:EUR', '7', { external_ref: ref }),
    key: trace,
    headers: { traceparent: `00-${trace}-${REQUEST}-${sampled ? '01' : '00'}` },
  });
  expect(answer.status).toBe(201);
  return trace;
}

const cure = (ref: string) => asAdmin(api.on.ownerUrl, (admin) => admin.query('INSERT INTO cured VALUES ($1)', [ref]));

const letterOf = (shop: Merchant, status: string): Promise<Json> =>
  until(`there is a letter that is ${status}`, async () => {
    const query = `consumer=by_stream&merchant_id=${shop.id}&status=${status}`;
    return (await api.operator.get(`/v1/dead_letters?${query}`)).body.data[0];
  });

const decide = async ({ id }: Json, what: 'redrive' | 'discard') => {
  const answer = await api.operator.post(`/v1/dead_letters/${id}/${what}`, { body: { by: 'ada', reason: 'cured' } });
  expect(answer.status).toBe(202);
};

/** Of a trace, without statements; those of the consumer `by_stream`, in which a try that fails again is there once. */
function shown(trace: string): string[] {
  const without = ({ attributes }: ReceivedSpan) => attributes['db.system.name'] !== undefined;
  const lines = treeOf(spans.spans, trace, { without }).filter((line) => line.includes('by_stream'));
  return lines.filter((line, place) => line !== lines[place - 1]);
}
const expectShown = async (trace: string, ...lines: string[]) => {
  await until('the spans have arrived', () => shown(trace).length >= lines.length).catch(() => undefined);
  expect(shown(trace)).toEqual(lines.map((line) => `  ${line}`));
};
/** By name, of the last span that is called so. */
function statementsOf(trace: string, name: string): string[] {
  const all = spans.traceOf(trace);
  const last = all.findLast((span) => span.name === name);
  return all.filter(({ parentId }) => parentId === last?.spanId).map((span) => span.name);
}

test('an event that fails, its dead letter, a redrive in vain and one that helps, and what waited behind it', async () => {
  const shop = await api.merchant();
  const ref = `poison:throw:${shop.id}`;
  const bad = await post(shop, ref);
  const letter = await letterOf(shop, 'parked');
  const behind = await post(shop, 'behind');
  await expectShown(bad, 'apply by_stream !', 'park by_stream');
  await decide(letter, 'redrive');
  await until('it is parked again', async () => {
    const { body } = await api.operator.get(`/v1/dead_letters/${letter.id}`);
    return body.status === 'parked' && body.tries > letter.tries;
  });
  await cure(ref);
  await decide(letter, 'redrive');
  await letterOf(shop, 'redriven');
  const tries = ['apply by_stream !', 'park by_stream'];
  await expectShown(bad, ...tries, 'redrive by_stream !', 'redrive by_stream');
  expect(statementsOf(bad, 'redrive by_stream')).toEqual(
    expect.arrayContaining([
      'enter scope',
      'log at',
      'SELECT cured',
      'INSERT records',
      'UPDATE dead_letters',
      'COMMIT',
    ]),
  );
  await expectShown(behind, 'catch up by_stream');
  expect(statementsOf(behind, 'catch up by_stream')).toEqual(['INSERT records', 'DELETE parked_streams']);
});

test('each try has a span of its own, which ends before the next begins', async () => {
  const shop = await api.merchant();
  const bad = await post(shop, `poison:throw:${shop.id}`);
  await letterOf(shop, 'parked');
  await until('all have arrived', () => shown(bad).length === 2);
  const tries = spans.traceOf(bad).filter(({ name }) => name.endsWith(' by_stream'));
  expect(tries.length).toBeGreaterThan(2);
  for (const [place, { startMs }] of tries.entries()) {
    expect(startMs).toBeGreaterThanOrEqual(tries[place - 1]?.endMs ?? 0);
  }
  for (const { service, attributes } of tries) {
    expect([service, attributes['counterfoil.consumer']]).toEqual(['counterfoil-consumer', 'by_stream']);
    expect(attributes['counterfoil.merchant_id']).toBe(shop.id);
  }
});

test('what nobody sampled shows where it fails, by the class of its error alone, and else not at all', async () => {
  const shop = await api.merchant();
  const known = new Set(spans.spans.map(({ spanId }) => spanId));
  const failed = () => spans.spans.filter((span) => span.failed && !known.has(span.spanId));
  const ref = `poison:throw:${shop.id}`;
  const bad = await post(shop, ref, { sampled: false });
  const letter = await letterOf(shop, 'parked');
  await until('its failure has arrived', () => failed().some(({ name }) => name === 'apply by_stream'));
  await cure(ref);
  await decide(letter, 'discard');
  await letterOf(shop, 'discarded');
  // Exported in their order: what was to come of the discarding would have come by then.
  const later = await post(await api.merchant(), 'later');
  await until('what came later has arrived', () => shown(later).length > 0);
  expect(new Set(failed().map(({ attributes }) => attributes['error.type']))).toEqual(new Set(['Error']));
  expect(spans.spans.filter(({ traceId, name }) => traceId === bad || name === 'discard by_stream')).toEqual([]);
  expect(spans.text).not.toContain('poison');
});
