// npm run test:histories [-- --minutes N --seed S --policy available|strict --readers N --mutant NAME --excused]: real
// processes under faults, every read checked. Without --policy both share the time.
// See test/histories. Exit 1 when a read is stale or a write lost; with --mutant (a name, or all), when the planted bug is not
// caught. A seed that is not given is drawn, and printed.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './compile.mjs';
import { onStopRequest } from './services/on-stop-request.mjs';

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
for (const [name, value] of Object.entries({ minutes, seed: values.seed })) {
  if (!(Number(value) > 0)) {
    console.error(`counterfoil: --${name} must be a number above 0.`);
    process.exit(1);
  }
}
if (!['', 'available', 'strict'].includes(values.policy)) {
  console.error('counterfoil: --policy must be available or strict.');
  process.exit(1);
}
console.log(`seed ${values.seed}, ${minutes} minutes`);
const child = spawn(
  process.execPath,
  [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', 'test/histories.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      HISTORIES_MINUTES: minutes,
      HISTORIES_SEED: values.seed,
      HISTORIES_POLICY: values.policy,
      HISTORIES_READERS: values.readers,
      HISTORIES_MUTANT: values.mutant ?? '',
      HISTORIES_EXCUSED: values.excused ? '1' : '',
    },
  },
);
onStopRequest(() => child.kill('SIGTERM'));
child.once('exit', (code) => process.exit(code ?? 1));
