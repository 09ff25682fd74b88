import { describe, expect, it } from 'vitest';
import { startApi } from '../apps/api/src/api.js';
import { readConfig } from '../apps/config.js';
import { callAt, OPERATOR_KEY } from './support/bare-api.js';
import { freshDatabase } from './support/database.js';
import { TcpProxy } from './support/tcp-proxy.js';

describe('without the database', () => {
  it('says 503 with Retry-After, lives on, and serves again as soon as it is back', async () => {
    const database = await freshDatabase();
    const proxy = await TcpProxy.open(database.ownerUrl);
    const api = await startApi(
      readConfig({ PORT: '0', LOG_LEVEL: 'silent', DATABASE_URL: proxy.url, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY }),
    );
    const merchant = { name: 'M', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    expect((await callAt(api.url, 'POST', '/v1/merchants', { body: merchant })).status).toBe(201);

    proxy.refuse();
    for (const [method, body] of [['GET'], ['POST', merchant]] as const) {
      const answer = await callAt(api.url, method, '/v1/merchants', { body });
      expect(answer).toMatchObject({ status: 503, body: { code: 'database_unavailable' } });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    await expect.poll(async () => (await callAt(api.url, 'GET', '/readyz')).status).toBe(503);
    expect((await callAt(api.url, 'GET', '/healthz')).status).toBe(200);

    proxy.accept();
    await expect.poll(async () => (await callAt(api.url, 'GET', '/readyz')).status).toBe(200);
    expect((await callAt(api.url, 'POST', '/v1/merchants', { body: merchant })).status).toBe(201);
    expect((await callAt(api.url, 'GET', '/v1/merchants')).body.data).toHaveLength(2);
    await api.stop();
    await proxy.close();
    await database.drop();
  });
});
