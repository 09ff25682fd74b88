// Private servers for `npm test`, in a sub-folder of their own: beside a running `npm start` and beside other test runs.
import { dataFolder } from './services/data-folder.mjs';
import { FolderInUseError, startServices } from './services/start-services.mjs';

const RUNS_AT_ONCE = 16;

/**
 * Empty servers that may lose their data with the machine. A second run in the same checkout gets the next sub-folder.
 * @param {Omit<import('./services/start-services.mjs').StartOptions, 'name' | 'durable' | 'fresh'>} [options]
 * @returns {Promise<import('./services/start-services.mjs').Services>}
 */
export async function startTestServices(options = {}) {
  for (let run = 1; run <= RUNS_AT_ONCE; run += 1) {
    try {
      return await startServices({ ...options, name: run === 1 ? 'test' : `test-${run}`, durable: false, fresh: true });
    } catch (error) {
      if (!(error instanceof FolderInUseError)) throw error;
    }
  }
  throw new Error(`${RUNS_AT_ONCE} test runs use ${dataFolder()} already; wait for one to end.`);
}
