import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../apps/config.js';
import { Client, OPERATOR_KEY, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { commandsOf, curlRequest } from './support/shell.js';

/** docs/operations.md: what it names is there, and its lines work. That it has a row for each alert: ops.test.ts. */

const read = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
const PAGE = read('docs/operations.md');
const METRICS = read('docs/metrics.md');
const SHELL = [...PAGE.matchAll(/```sh\n(.*?)```/gs)].map(([, code]) => code).join('\n');
/** The first cells of the table of signs. */
const [, table = ''] = PAGE.split(/\n\| sign .*\n\|[-|]+\n/);
const SIGNS = (table.split('\n\n')[0] ?? '').split('\n').map((row) => row.slice(2).split(' | ')[0] ?? '');

/** Names of metrics in a text, without their labels. */
const metricsIn = (text: string): string[] =>
  [...text.matchAll(/`([a-z]+_[a-z_]+)(?:\{[^`]*\})?`/g)].map(([, name = '']) => name);

describe('the page on operations', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await TestApi.start();
    await Contract.hold(api);
  });
  afterAll(() => api.stop());

  test('names signs that the page on metrics has', () => {
    const known = metricsIn(METRICS);
    const problems = ['database_unavailable'];
    expect(SIGNS.length).toBeGreaterThan(15);
    expect(SIGNS.flatMap(metricsIn).filter((name) => !known.includes(name) && !problems.includes(name))).toEqual([]);
  });

  test('names settings that there are', () => {
    const configuration = read('docs/configuration.md');
    const named = new Set(PAGE.match(/\b[A-Z]+_[A-Z_]+\b/g));
    const others = ['PGDATA', 'OPERATOR_KEY', 'NEW_KEY_ID'];
    expect(named.size).toBeGreaterThan(20);
    expect([...named].filter((name) => !others.includes(name) && !configuration.includes(`\`${name}\``))).toEqual([]);
  });

  test('reckons connections from what the settings are where nobody sets them', () => {
    const { databasePoolSize, writerLanes, writerApartLanes } = readConfig({ DATABASE_URL: api.on.ownerUrl });
    expect(PAGE).toContain(`${databasePoolSize} + ${writerLanes} + ${writerApartLanes} |`);
    const perApi = databasePoolSize + writerLanes + writerApartLanes;
    expect(PAGE).toContain(`(two of this build): ${perApi + 4} |`);
    expect(PAGE).toContain(`Four APIs and two workers have ${4 * perApi + 2 * (perApi + 4)}, `);
  });

  test('has lines that work, and names commands that there are', async () => {
    const { scripts } = JSON.parse(read('package.json'));
    const merchant = await api.merchant('EUR');
    const variables = { URL: api.url, KEY: merchant.apiKey.secret, MERCHANT: merchant.id, OPERATOR_KEY };
    const outcomes: string[] = [];
    let issued = '';
    for (const words of commandsOf(SHELL, variables, () => issued)) {
      if (words[0] === 'npm') {
        expect(Object.keys(scripts)).toContain(words[2]);
        continue;
      }
      const { method, url, headers, body } = curlRequest(words);
      const answer = await new Client('', {}).request(method, url, {
        headers,
        ...(body !== undefined && { raw: body }),
      });
      issued ||= method === 'POST' ? answer.body.id : '';
      outcomes.push(`${method} ${new URL(url).pathname.replace(/\d{5,}/g, ':id')} ${answer.status}`);
    }
    expect(outcomes).toEqual([
      'GET /v1/jobs 200',
      'GET /v1/dead_letters 200',
      'GET /readyz 200',
      'POST /v1/merchants/:id/api_keys 201',
      'GET /v1/merchants/:id/api_keys 200',
      'DELETE /v1/merchants/:id/api_keys/:id 204',
    ]);
  });
});
