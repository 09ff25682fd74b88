import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readConfig } from '#platform/config.js';
import { startApi } from '../apps/api/src/api.js';
import { callAt, OPERATOR_KEY } from './support/bare-api.js';
import { freshDatabase } from './support/database.js';

/** Stands between the API and PostgreSQL, and can be taken away. */
async function proxyTo(url: string) {
  const target = new URL(url);
  const { hostname, port } = target;
  const sockets = new Set<Socket>();
  let isAway = false;
  const server = createServer((client) => {
    if (isAway) return client.destroy();
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
      from.pipe(to);
    }
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  target.port = String((server.address() as AddressInfo).port);
  return {
    url: target.href,
    setAway(away: boolean) {
      isAway = away;
      if (away) for (const socket of sockets) socket.destroy();
    },
    close: () => server.close(),
  };
}

describe('without the database', () => {
  it('says 503 with Retry-After, lives on, and serves again as soon as it is back', async () => {
    const database = await freshDatabase();
    const proxy = await proxyTo(database.ownerUrl);
    const api = await startApi(
      readConfig({ PORT: '0', LOG_LEVEL: 'silent', DATABASE_URL: proxy.url, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY }),
    );
    const merchant = { name: 'M', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    expect((await callAt(api.url, 'POST', '/v1/merchants', { body: merchant })).status).toBe(201);

    proxy.setAway(true);
    for (const [method, body] of [['GET'], ['POST', merchant]] as const) {
      const answer = await callAt(api.url, method, '/v1/merchants', { body });
      expect(answer).toMatchObject({ status: 503, body: { code: 'database_unavailable' } });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    await expect.poll(async () => (await callAt(api.url, 'GET', '/readyz')).status).toBe(503);
    expect((await callAt(api.url, 'GET', '/healthz')).status).toBe(200);

    proxy.setAway(false);
    await expect.poll(async () => (await callAt(api.url, 'GET', '/readyz')).status).toBe(200);
    expect((await callAt(api.url, 'POST', '/v1/merchants', { body: merchant })).status).toBe(201);
    expect((await callAt(api.url, 'GET', '/v1/merchants')).body.data).toHaveLength(2);
    await api.stop();
    proxy.close();
    await database.drop();
  });
});
