import { defineConfig } from 'vitest/config';
import config from './vitest.config.js';

/** The specs beside pure code: no servers. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: [
      'libs/{kernel,ledger,webhooks,balances,platform,payments,fees,settlement,payouts,reconciliation}/src/**/*.spec.ts',
    ],
    globalSetup: [],
    // A mutant lives or dies by itself, not by what was drawn.
    env: { TEST_SEED: '20261127', PAYMENTS_PERMUTATIONS: '5000', PAYMENTS_LONGEST: '3' },
  },
});
