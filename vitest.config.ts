import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';

const root = import.meta.dirname;

const TESTS = ['apps/**/*.spec.ts', 'libs/**/*.spec.ts', 'test/**/*.test.ts'];
/**
 * Files that need a process of their own: they measure its memory or its sockets, or collect the spans of its one tracer. The
 * others share their worker's, which loads the sources once (a tenth of the whole run).
 */
const APART = [
  'apps/api/src/bodies.spec.ts',
  'libs/platform/src/buses.spec.ts',
  'libs/platform/src/telemetry.spec.ts',
  'test/memory.test.ts',
  'test/night.test.ts',
  'test/queues.test.ts',
  'test/report-matching.test.ts',
  'test/request-traces.test.ts',
  'test/secrets.test.ts',
  'test/settlement-runs.test.ts',
  'test/slow-collector.test.ts',
  'test/transaction-traces.test.ts',
  'test/unsent.test.ts',
  'test/webhooks.test.ts',
  'test/writer-spans.test.ts',
];

export default defineConfig({
  resolve: {
    // package.json "imports" name the compiled files by default; tests run the sources.
    alias: [
      {
        find: /^#(kernel|platform|outbox|ledger|balances|limits|tenancy|webhooks|summaries|payments|fees|settlement|payouts|reconciliation)\/(.*)\.js$/,
        replacement: `${root}/libs/$1/src/$2.ts`,
      },
      { find: /^#db\/(.*)\.js$/, replacement: `${root}/db/$1.ts` },
    ],
  },
  test: {
    globalSetup: ['test/support/services.ts'],
    setupFiles: ['test/support/tell-seed.ts'],
    // One seed a run: see test/support/seed.ts.
    env: { TEST_SEED: process.env.TEST_SEED ?? String(randomInt(1, 2 ** 31)) },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // What a test prints is shown when it fails; campaigns of a given length (scripts/campaign.mjs) print theirs always.
    silent: 'passed-only',
    projects: [
      { extends: true, test: { name: 'together', include: TESTS, exclude: APART, isolate: false } },
      { extends: true, test: { name: 'apart', include: APART } },
    ],
  },
});
