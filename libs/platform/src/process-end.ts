import { logOutput } from './log-output.js';
import type { Logger } from './logging.js';

/** What closing may take beyond the grace before the process is ended the hard way. */
const CLOSE_EXTRA_MS = 2_000;
/** For the log's last lines: nobody may be there to read them. */
const FLUSH_LIMIT_MS = 1_000;
/** The same for who was told twice: time for a log that is read, and none to wait for. */
const AT_ONCE_MS = 100;

/** Ends the process, whatever becomes of its log; by SIGKILL, without the code, where a write of the log hangs. */
export function endProcess(logger: Logger, exitCode: number, flushLimitMs = FLUSH_LIMIT_MS): void {
  setTimeout(() => {
    logOutput().giveUp();
    process.exit(exitCode);
  }, flushLimitMs);
  logger.flush(() => process.exit(exitCode));
}

/**
 * Ends the process in good order on SIGTERM and SIGINT, within the grace; a second signal ends it at once. Where a supervisor
 * started it with a channel, the channel's end (the supervisor was killed) is such a signal too.
 */
export function endOnSignal(logger: Logger, graceMs: number, stop: () => Promise<void>): void {
  let isEnding = false;
  const begin = async (signal: string) => {
    if (isEnding) return endProcess(logger, 1, AT_ONCE_MS);
    isEnding = true;
    logger.info({ signal }, 'stopping');
    setTimeout(() => {
      logger.error('not everything was finished within the grace');
      endProcess(logger, 1);
    }, graceMs + CLOSE_EXTRA_MS).unref();
    try {
      await stop();
      endProcess(logger, 0);
    } catch (error) {
      logger.error({ err: error }, 'stopping failed');
      endProcess(logger, 1);
    }
  };
  if (process.channel) process.once('disconnect', () => void begin('disconnect'));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void begin(signal));
}
