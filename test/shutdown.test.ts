import { Agent, request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { startTestApi } from './support/bare-api.js';
import { until } from './support/until.js';

const CALLERS = 16;

/** One request on a keep-alive connection: its status, or the error. */
function ask(agent: Agent, url: string, key: string): Promise<{ outcome: number | string; keepsAlive: boolean }> {
  return new Promise((resolve) => {
    const asked = request(url, { agent, headers: { authorization: `Bearer ${key}` } }, (response) => {
      response.resume();
      response.on('end', () =>
        resolve({ outcome: response.statusCode ?? 0, keepsAlive: response.headers.connection !== 'close' }),
      );
    });
    asked.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ outcome: error.code ?? error.message, keepsAlive: false }),
    );
    asked.end();
  });
}

describe('stopping', () => {
  it('fails no request of busy keep-alive clients, and is quick', async () => {
    const test = await startTestApi({ SHUTDOWN_DELAY_MS: '200' });
    const { key } = await test.createMerchant();
    let stopping = false;
    const outcomes: (number | string)[] = [];
    // Each caller asks on its one connection until it is told to close it, as a balancer's client that saw /readyz would.
    const callers = Array.from({ length: CALLERS }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        const { outcome, keepsAlive } = await ask(agent, `${test.url}/v1/accounts`, key);
        outcomes.push(outcome);
        if (stopping && !keepsAlive) break;
      }
      agent.destroy();
    });
    await until('all callers are at work', () => outcomes.length > 2 * CALLERS);
    stopping = true;
    const startedAt = performance.now();
    const stopped = test.stop();
    const ready = await test.call('GET', '/readyz', { key: false });
    expect(ready).toMatchObject({ status: 503, body: { checks: { accepting: false } } });
    await Promise.all([...callers, stopped]);
    expect(new Set(outcomes)).toEqual(new Set([200]));
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await expect(fetch(`${test.url}/healthz`)).rejects.toThrow();
  });
});
