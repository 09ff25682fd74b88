import { Webhook } from 'standardwebhooks';
import { expect, inject, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { type Json, TestApi, transfer } from './support/api.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { startWorker } from './support/worker.js';

test('from a posting to its receiver: two workers, failures on the way, every event in the order of the log', async () => {
  const api = await TestApi.start({ environment: { WEBHOOK_ALLOW_LOOPBACK: '1' } });
  const sink = await WebhookSink.open();
  const port = await freePort();
  // API and workers share the Redis that carries hints.
  const environment = {
    REDIS_URL: inject('redisUrl'),
    WEBHOOK_ALLOW_LOOPBACK: '1',
    WEBHOOK_RETRY_SCHEDULE_S: '1,1,1,1',
    WEBHOOK_POLL_MS: '60000',
  };
  const stops = [
    await startWorker(api.on, { ...environment, METRICS_PORT: String(port) }),
    await startWorker(api.on, environment),
  ];
  try {
    const shop = await api.merchant();
    const { body: endpoint } = await shop.client.post('/v1/webhook_endpoints', {
      body: { url: sink.url, ordering: 'strict' },
    });
    let refused = 0;
    sink.respond = (response, { body }) => {
      const isRefused = body.type === 'transaction.voided' && refused < 2;
      if (isRefused) refused += 1;
      status(isRefused ? 503 : 200)(response);
    };
    await shop.open('wallet');
    for (let i = 0; i < 20; i += 1) await shop.posted(transfer('cash:EUR', 'wallet', '5'));
    const hold = await shop.posted(transfer('wallet', 'cash:EUR', '7', { status: 'pending' }));
    await shop.move(hold.id, 'void');
    await Promise.all(Array.from({ length: 20 }, () => shop.posted(transfer('cash:EUR', 'wallet', '1'))));
    const log = await asAdmin(api.on.ownerUrl, async (owner) => {
      const { rows } = await owner.query<{ id: string }>(
        `SELECT xid || '-' || seq AS id FROM events
          WHERE merchant_id = $1 AND xid > (SELECT since_xid FROM webhook_endpoints WHERE id = $2) ORDER BY xid, seq`,
        [shop.id, endpoint.id],
      );
      return rows.map(({ id }) => id);
    });
    expect(log.length).toBe(1 + 20 + 2 + 20);
    await until('all of it has arrived', () => new Set(sink.ids).size === log.length);
    // Twice refused: the voided hold comes three times, and nothing passes it.
    expect(sink.ids.filter((id, i) => id !== sink.ids[i - 1])).toEqual(log);
    expect(sink.received.length).toBe(log.length + 2);
    expect(sink.most).toBe(1);
    for (const { text, headers, body } of sink.received) {
      expect(new Webhook(endpoint.secret).verify(text, headers as Record<string, string>)).toEqual(body);
    }
    const posted = sink.received.filter(({ body }) => body.type === 'transaction.posted');
    const credited = posted.flatMap(({ body }) =>
      body.data.entries.filter((entry: Json) => entry.direction === 'credit'),
    );
    expect(credited.reduce((sum: number, entry: Json) => sum + Number(entry.posted), 0)).toBe(120);
    // The workers look at everything once a minute; over Redis they are told at once.
    const { body: deliveries } = await shop.client.get(`/v1/webhook_endpoints/${endpoint.id}/deliveries?limit=1`);
    expect((await shop.client.post(`/v1/webhook_deliveries/${deliveries.data[0].id}/redeliver`)).status).toBe(202);
    await until('the redelivery has arrived', () => sink.received.length === log.length + 3);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    for (const name of ['deliveries_total{outcome="delivered"}', 'due', 'due_age_seconds', 'disabled_endpoints'])
      expect(metrics).toContain(`counterfoil_webhook_${name} `);
  } finally {
    for (const stop of stops) await stop();
    await sink.close();
    await api.stop();
  }
});
