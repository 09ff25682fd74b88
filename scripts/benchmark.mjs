// Runs a compiled benchmark against private servers of its own, or against the ones that the environment names.
import { join } from 'node:path';
import { compile, root } from './compile.mjs';
import { Child } from './services/child.mjs';
import { serviceEnvironment, startServices } from './services/start-services.mjs';
import { supervise } from './services/supervise.mjs';

/** A given URL keeps its server from being started; nobody connects to this one. */
const NO_REDIS = { REDIS_URL: 'redis://unused', REDIS_QUEUE_URL: 'redis://unused' };

/**
 * Ends this process with the benchmark's exit code.
 * @param {object} options
 * @param {string} options.name sub-folder of the data folder
 * @param {string} options.file compiled program, below the checkout
 * @param {boolean} options.redis whether it needs Redis
 * @param {Record<string, string | number | boolean>} options.settings of the private PostgreSQL
 */
export function runBenchmark({ name, file, redis, settings }) {
  return supervise(
    async (keep) => {
      compile();
      const env = redis ? process.env : { ...NO_REDIS, ...process.env };
      const onNotice = (/** @type {string} */ message) => console.error(`# ${message}`);
      const services = keep(await startServices({ name, env, fresh: true, settings, onNotice }));
      const benchmark = keep(
        Child.node('the benchmark', [join(root, file), ...process.argv.slice(2)], {
          cwd: root,
          stdio: ['ignore', 'inherit', 'inherit'],
          env: { ...process.env, ...serviceEnvironment(services) },
        }),
      );
      const lost = await Promise.race([benchmark.ended, services.lost]);
      if (lost instanceof Error) throw lost;
      return benchmark.exitCode;
    },
    { codeWhenAsked: 130 },
  );
}
