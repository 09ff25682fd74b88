// Runs a compiled benchmark against private servers of its own, or against the ones that the environment names.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { compile, root } from './compile.mjs';
import { exitWith, onStopRequest } from './services/on-stop-request.mjs';
import { serviceEnvironment, startServices } from './services/start-services.mjs';

/**
 * Ends this process with the benchmark's exit code.
 * @param {object} options
 * @param {string} options.name sub-folder of the data folder
 * @param {string} options.file compiled program, below the checkout
 * @param {boolean} options.redis whether it needs Redis
 * @param {Record<string, string | number | boolean>} options.settings of the private PostgreSQL
 */
export async function runBenchmark({ name, file, redis, settings }) {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  let stopAsked = false;
  onStopRequest(() => {
    stopAsked = true;
    child?.kill('SIGTERM');
  });
  try {
    compile();
    // A given URL keeps its server from being started; nobody connects to this one.
    const env = redis
      ? process.env
      : { REDIS_URL: 'redis://unused', REDIS_QUEUE_URL: 'redis://unused', ...process.env };
    const services = await startServices({
      name,
      env,
      fresh: true,
      settings,
      onNotice: (message) => console.error(`# ${message}`),
    });
    const code = stopAsked ? 130 : await finished();
    await services.stop();
    process.exit(code);

    /** @returns {Promise<number>} */
    function finished() {
      return new Promise((resolve, reject) => {
        child = spawn(process.execPath, ['--enable-source-maps', join(root, file), ...process.argv.slice(2)], {
          cwd: root,
          stdio: ['ignore', 'inherit', 'inherit'],
          env: { ...process.env, ...serviceEnvironment(services) },
        });
        child.once('error', reject);
        child.once('exit', (code, signal) => resolve(signal ? 130 : (code ?? 1)));
        void services.lost.then((lost) => {
          console.error(lost.message);
          child?.kill('SIGTERM');
        });
      });
    }
  } catch (error) {
    exitWith(error);
  }
}
