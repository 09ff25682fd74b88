// npm run test:faults [-- --minutes N --seed S --mutant NAME]: real workers under faults, every effect checked against the log
// and the ledger. See test/outbox-campaign. Exit 1 when an event is lost, applied twice or out of order; with --mutant (a name,
// or all), when the planted bug is not caught. A seed that is not given is drawn, and printed.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runCampaign } from './campaign.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(randomInt(1, 1_000_000_000)) },
    mutant: { type: 'string' },
  },
});
await runCampaign('test/outbox-campaign.test.ts', values, {
  FAULTS_MINUTES: values.minutes,
  FAULTS_SEED: values.seed,
  FAULTS_MUTANT: values.mutant ?? '',
});
