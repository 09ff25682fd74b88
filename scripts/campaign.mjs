// Runs a test file as a campaign of a given length: what `npm test` runs for seconds.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './compile.mjs';
import { onStopRequest } from './services/on-stop-request.mjs';

/** Ends this process with the campaign's exit code. @param {string} file @param {{ minutes: string, seed: string }} options @param {Record<string, string>} env */
export function runCampaign(file, { minutes, seed }, env) {
  for (const [name, value] of Object.entries({ minutes, seed })) {
    if (!(Number(value) > 0)) {
      console.error(`counterfoil: --${name} must be a number above 0.`);
      process.exit(1);
    }
  }
  console.log(`seed ${seed}, ${minutes} minutes`);
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', '--silent=false', file],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, ...env },
    },
  );
  onStopRequest(() => child.kill('SIGTERM'));
  child.once('exit', (code) => process.exit(code ?? 1));
}
