import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { LogWatch } from '#outbox/log/log-watch.js';
import { type Json, type Merchant, SYSTEM_ACCOUNTS, TestApi, transfer } from './support/api.js';
import { EventSource } from './support/event-source.js';
import { until } from './support/until.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.start({ environment: { API_KEY_CACHE_MS: '500' } });
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

const followersOf = (of: TestApi): number => of.app.get(LogWatch, { strict: false }).followers;
const post = (seller: Merchant): Promise<Json> => seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
/** The whole log as the list tells it. */
const listed = async (seller: Merchant): Promise<Json[]> =>
  (await seller.client.get('/v1/events?limit=1000')).body.data;

test('a stream tells the log from its beginning and goes on with what comes', async () => {
  const seller = await api.merchant();
  const stream = await EventSource.open(api, seller);
  expect(stream.status).toBe(200);
  expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  expect(stream.headers.get('cache-control')).toBe('no-store');
  const seen = await stream.take(SYSTEM_ACCOUNTS);
  for (let i = 0; i < 3; i += 1) {
    const { id } = await post(seller);
    const [news] = await stream.take(1);
    expect(news?.event.data.transaction_id).toBe(id);
    if (news) seen.push(news);
  }
  expect(seen.map(({ event }) => event)).toEqual(await listed(seller));
  stream.close();
  await until('the place is free again', () => followersOf(api) === 0);
});

test('a stream goes on behind its Last-Event-ID, which comes before `after`, and an id is a cursor of the list', async () => {
  const seller = await api.merchant();
  for (let i = 0; i < 5; i += 1) await post(seller);
  const stream = await EventSource.open(api, seller, { query: '?limit=2' });
  const all = await stream.take(SYSTEM_ACCOUNTS + 5);
  stream.close();
  const [third, last] = [all[2]?.id ?? '', all.at(-1)?.id ?? ''];
  for (const options of [
    { lastEventId: third },
    { lastEventId: third, query: `?after=${last}` },
    { query: `?after=${third}` },
  ]) {
    const again = await EventSource.open(api, seller, options);
    expect(await again.take(all.length - 3)).toEqual(all.slice(3));
    again.close();
  }
  const { body } = await seller.client.get(`/v1/events?after=${third}`);
  expect(body.data).toEqual(all.slice(3).map(({ event }) => event));
  expect(body.next_cursor).toBe(last);
  await until('all places are free again', () => followersOf(api) === 0);
});

test('a foreign Last-Event-ID, an unknown parameter and a bad key are problems, not streams', async () => {
  const [mine, theirs] = [await api.merchant(), await api.merchant()];
  const stream = await EventSource.open(api, theirs);
  const [frame] = await stream.take(1);
  stream.close();
  const accept = { accept: 'text/event-stream' };
  const foreign = await mine.client.get('/v1/events', {
    headers: { ...accept, 'last-event-id': frame?.id ?? '' },
  });
  expect([foreign.status, foreign.body.errors[0].path]).toEqual([422, 'Last-Event-ID']);
  expect((await mine.client.get('/v1/events?nonsense=1', { headers: accept })).status).toBe(422);
  expect((await api.client().get('/v1/events', { headers: accept })).body.code).toBe('unauthorized');
  await until('all places are free again', () => followersOf(api) === 0);
});

test('an idle stream has a heartbeat, and ends by itself after EVENT_STREAM_MAX_MS', async () => {
  const brief = await TestApi.start({
    on: api.on,
    environment: { EVENT_HEARTBEAT_MS: '100', EVENT_STREAM_MAX_MS: '1000' },
  });
  const seller = await api.merchant();
  const stream = await EventSource.open(brief, seller);
  expect(await stream.rest()).toHaveLength(SYSTEM_ACCOUNTS);
  expect(stream.comments.length).toBeGreaterThan(0);
  expect(followersOf(brief)).toBe(0);
  await brief.stop();
});

test('a stream ends when its key is revoked, in this process and in another one, and tells nothing more', async () => {
  const other = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '500' } });
  const seller = await api.merchant();
  const streams = [await EventSource.open(api, seller), await EventSource.open(other, seller)];
  for (const stream of streams) await stream.take(SYSTEM_ACCOUNTS);
  await api.operator.request('DELETE', `/v1/merchants/${seller.id}/api_keys/${seller.apiKey.id}`);
  for (const stream of streams) expect(await stream.rest()).toEqual([]);
  await until('all places are free again', () => followersOf(api) + followersOf(other) === 0);
  await other.stop();
});

test('streams end when the process goes down, before its grace is over', async () => {
  const brief = await TestApi.start({ on: api.on, environment: { SHUTDOWN_GRACE_MS: '60000' } });
  const seller = await api.merchant();
  const stream = await EventSource.open(brief, seller);
  await stream.take(SYSTEM_ACCOUNTS);
  await Promise.all([brief.stop(), expect(stream.rest()).resolves.toEqual([])]);
});

test('beyond the places a stream is refused with a problem', async () => {
  const small = await TestApi.start({
    on: api.on,
    environment: { EVENT_FOLLOWERS: '1', EVENT_FOLLOWERS_PER_MERCHANT: '1' },
  });
  const seller = (await api.merchant()).via(small);
  const stream = await EventSource.open(small, seller);
  const refused = await seller.client.get('/v1/events', { headers: { accept: 'text/event-stream' } });
  expect([refused.status, refused.body.code]).toEqual([503, 'overloaded']);
  stream.close();
  await small.stop();
});
