import { defineConfig, mergeConfig } from 'vitest/config';
import shared from './vitest.config.js';

/** npm run test:model: the whole exploration of the balance cache, which takes minutes. */
export default defineConfig({
  ...mergeConfig(shared, {}),
  test: {
    include: ['test/balance-model/**/*.{test,whole}.ts'],
    // Minutes when the machine is ours; other work beside it has made a quarter of an hour too short for five million states.
    testTimeout: 3_600_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
});
