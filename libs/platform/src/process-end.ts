import type { Logger } from './logging.js';

/** What closing may take beyond the grace before the process is ended the hard way. */
const CLOSE_EXTRA_MS = 2_000;

/**
 * Ends the process in good order on SIGTERM and SIGINT, within the grace; a second signal ends it at once. Where a supervisor
 * started it with a channel, the channel's end (the supervisor was killed) is such a signal too.
 */
export function endOnSignal(logger: Logger, graceMs: number, stop: () => Promise<void>): void {
  let isEnding = false;
  const end = (exitCode: number) => logger.flush(() => process.exit(exitCode));
  const begin = async (signal: string) => {
    if (isEnding) return end(1);
    isEnding = true;
    logger.info({ signal }, 'stopping');
    setTimeout(() => {
      logger.error('not everything was finished within the grace');
      end(1);
    }, graceMs + CLOSE_EXTRA_MS).unref();
    try {
      await stop();
      end(0);
    } catch (error) {
      logger.error({ err: error }, 'stopping failed');
      end(1);
    }
  };
  if (process.channel) process.once('disconnect', () => void begin('disconnect'));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void begin(signal));
}
