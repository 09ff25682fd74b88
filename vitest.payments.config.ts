import { defineConfig, mergeConfig } from 'vitest/config';
import shared from './vitest.config.js';

/** npm run test:payments: what `npm test` does for seconds, for minutes. No servers. */
export default defineConfig({
  ...mergeConfig(shared, {}),
  test: {
    ...shared.test,
    include: ['libs/payments/src/position.property.spec.ts'],
    globalSetup: [],
    env: { ...shared.test?.env, PAYMENTS_PERMUTATIONS: '400000', PAYMENTS_LONGEST: '6' },
    testTimeout: 3_600_000,
    silent: false,
  },
});
