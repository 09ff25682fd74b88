import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';

const root = import.meta.dirname;

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
    include: ['apps/**/*.spec.ts', 'libs/**/*.spec.ts', 'test/**/*.test.ts'],
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
  },
});
