// Runs a test file as a campaign of a given length: what `npm test` runs for seconds.
import { join } from 'node:path';
import { root } from './compile.mjs';
import { Child } from './services/child.mjs';
import { ServicesError } from './services/services-error.mjs';
import { supervise } from './services/supervise.mjs';

/** Ends this process with the campaign's exit code. @param {string} file @param {{ minutes: string, seed: string }} options @param {Record<string, string>} env */
export function runCampaign(file, { minutes, seed }, env) {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  return supervise(
    async (keep) => {
      for (const [name, value] of Object.entries({ minutes, seed }))
        if (!(Number(value) > 0)) throw new ServicesError(`--${name} must be a number above 0.`);
      console.log(`seed ${seed}, ${minutes} minutes`);
      const options = { cwd: root, stdio: /** @type {'inherit'} */ ('inherit'), env: { ...process.env, ...env } };
      const campaign = keep(
        new Child('the campaign', [process.execPath, vitest, 'run', '--silent=false', file], options),
      );
      await campaign.ended;
      return campaign.exitCode;
    },
    { codeWhenAsked: 130 },
  );
}
