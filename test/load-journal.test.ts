import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Journal } from '../scripts/load/journal.mjs';
import { details, outcomeOf, table, traceText } from '../scripts/load/report.mjs';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'counterfoil-journal-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const note = (what: object): string => `note ${JSON.stringify(what)}\n`;
const postingOf = (merchant: string, ref: string) => ({ merchant, ref, outcome: 'acknowledged' });
const trace = (why: string, ms: number) => ({ why, name: 'POST /transactions', status: 201, ms, id: 'f'.repeat(32) });

describe('the journal of a load', () => {
  test('tells what was written so far, by merchant, whole lines only', async () => {
    const file = join(folder, 'console.log');
    const journal = new Journal(file);
    const url = await journal.serve();
    const ask = async (path: string) => (await fetch(url + path)).json();
    expect(await ask('/postings?merchant=1')).toEqual([]);
    const [first, second] = [postingOf('1', 'a'), postingOf('2', 'b')];
    const third = note({ postings: [postingOf('1', 'c')] });
    writeFileSync(file, note({ postings: [first, second] }) + third.slice(0, 20));
    expect(await ask('/postings?merchant=1')).toEqual([first]);
    appendFileSync(file, `${third.slice(20)}12 merchants settled\n`);
    expect(await ask('/postings?merchant=1')).toEqual([first, postingOf('1', 'c')]);
    expect(await ask('/postings?merchant=2')).toEqual([second]);
    expect(journal.said).toEqual(['12 merchants settled']);
  });

  test('tells what each follower heard, in its order', async () => {
    const file = join(folder, 'heard.log');
    const heard = (follower: string, ids: string[]) => note({ heard: { follower, merchant: '1', ids } });
    writeFileSync(file, heard('x', ['1', '2']) + heard('y', ['1']) + heard('x', ['3']));
    const url = await new Journal(file).serve();
    expect(await (await fetch(`${url}/heard?merchant=1`)).json()).toEqual({ x: ['1', '2', '3'], y: ['1'] });
  });
});

describe('the report of a load', () => {
  test('has the slowest and the failed, what did not hold, and latencies of what is bounded', () => {
    const file = join(folder, 'traces.log');
    const slow = [3, 9, 1, 7, 5, 8].map((ms) => trace('slow', ms));
    writeFileSync(file, [...slow, trace('wrong', 2)].map((one) => note({ trace: one })).join(''));
    const values = { med: 1, 'p(99)': 2, 'p(99.9)': 3, max: 4, count: 5 };
    const metrics = {
      http_reqs: { count: 60 },
      'answers{kind:done}': { count: 50 },
      'http_req_duration{scenario:load,name:POST /transactions}': {
        ...values,
        thresholds: { 'p(99)<2': true, 'p(99.9)<9': false },
      },
    };
    writeFileSync(join(folder, 'summary.json'), JSON.stringify({ metrics }));
    const outcome = outcomeOf({
      scenario: 'postings',
      isRight: false,
      seconds: 12,
      folder,
      journal: new Journal(file),
    });
    expect(outcome.slowest.map(({ ms }) => ms)).toEqual([9, 8, 7, 5, 3]);
    expect(outcome.failed.map(({ why }) => why)).toEqual(['wrong']);
    expect(outcome.latencies).toEqual({ 'POST /transactions': values });
    expect(outcome.broken).toEqual(['http_req_duration{scenario:load,name:POST /transactions}: p(99)<2']);
    expect(details(outcome, ['said']).slice(0, 2)).toEqual(['  said', `  NOT HELD  ${outcome.broken[0]}`]);
    expect(table([outcome])).toMatch(/\| postings +\| FAILED \| 12 +\| 60 +\| 50 /);
  });

  test('links a trace where there is somewhere to look', () => {
    expect(traceText(trace('slow', 12.34))).toBe(`  slow          12.3 ms  201 POST /transactions  ${'f'.repeat(32)}`);
    process.env.JAEGER_URL = 'http://127.0.0.1:16686/';
    expect(traceText(trace('slow', 1))).toContain(`http://127.0.0.1:16686/trace/${'f'.repeat(32)}`);
    delete process.env.JAEGER_URL;
  });
});
