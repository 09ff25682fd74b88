// npm run test:histories [-- --minutes N --seed S --policy available|strict --readers N --mutant NAME --excused]: real
// processes under faults, every read checked. Without --policy both share the time.
// See test/histories. Exit 1 when a read is stale or a write lost; with --mutant (a name, or all), when the planted bug is not
// caught. A seed that is not given is drawn, and printed.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runCampaign } from './campaign.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(randomInt(1, 1_000_000_000)) },
    policy: { type: 'string', default: '' },
    readers: { type: 'string', default: '8' },
    mutant: { type: 'string' },
    excused: { type: 'boolean', default: false },
  },
});
const minutes = values.minutes ?? (values.mutant === undefined ? '5' : '0.5');
if (!['', 'available', 'strict'].includes(values.policy)) {
  console.error('counterfoil: --policy must be available or strict.');
  process.exit(1);
}
await runCampaign(
  'test/histories.test.ts',
  { minutes, seed: values.seed },
  {
    HISTORIES_MINUTES: minutes,
    HISTORIES_SEED: values.seed,
    HISTORIES_POLICY: values.policy,
    HISTORIES_READERS: values.readers,
    HISTORIES_MUTANT: values.mutant ?? '',
    HISTORIES_EXCUSED: values.excused ? '1' : '',
  },
);
