import type { ConsumerProcess } from '../../apps/worker/src/worker.module.js';

const HOOK = new URL('./source-hook.mjs', import.meta.url).href;

/** A consumer's process on the sources, as the tests around it are. */
export function sourceProcess(
  entry: URL = new URL('../../apps/worker/src/consumer-process.ts', import.meta.url),
): ConsumerProcess {
  return { entry, execArgv: ['--conditions=source', '--import', HOOK] };
}
