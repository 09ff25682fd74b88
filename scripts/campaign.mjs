// Runs a test file as a campaign of a given length: what `npm test` runs for seconds.
import { join } from 'node:path';
import { root } from './compile.mjs';
import { Child } from './services/child.mjs';
import { ServicesError } from './services/services-error.mjs';
import { supervise } from './services/supervise.mjs';

/** Ends this process with the campaign's exit code. @param {string} file @param {{ seed: string } & Record<string, string>} options @param {Record<string, string>} env */
export function runCampaign(file, options, env) {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  return supervise(
    async (keep) => {
      for (const [name, value] of Object.entries(options))
        if (!(Number(value) > 0)) throw new ServicesError(`--${name} must be a number above 0.`);
      const { seed, ...lengths } = options;
      console.log(
        `seed ${seed}, ${Object.entries(lengths)
          .map(([name, value]) => `${value} ${name}`)
          .join(', ')}`,
      );
      const how = { cwd: root, stdio: /** @type {'inherit'} */ ('inherit'), env: { ...process.env, ...env } };
      const campaign = keep(new Child('the campaign', [process.execPath, vitest, 'run', '--silent=false', file], how));
      await campaign.ended;
      return campaign.exitCode;
    },
    { codeWhenAsked: 130 },
  );
}
