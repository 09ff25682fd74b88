import type { ConsumerThread } from '../../apps/worker/src/worker.module.js';

const HOOK = new URL('./source-hook.mjs', import.meta.url).href;

/** A consumer's thread on the sources, as the tests around it are. */
export function sourceThread(
  entry: URL = new URL('../../apps/worker/src/consumer-thread.ts', import.meta.url),
): ConsumerThread {
  return { entry, execArgv: ['--conditions=source', '--import', HOOK] };
}
