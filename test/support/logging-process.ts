import { logOutput } from '#platform/log-output.js';
import { createLogger } from '#platform/logging.js';
import { endOnSignal } from '#platform/process-end.js';

/** What a test asks of this process: so many lines more, or an error that nobody catches. */
export type Asked = { lines: number } | { failAfterMs: number };
/** Its answer once they are logged; `dropped`: of all until now. */
export interface Logged {
  dropped: number;
}

const [stops, graceMs, mode] = process.argv.slice(2);
// Whoever touches it makes its pipe one that says EAGAIN in place of waiting.
if (mode === 'busy') process.stdout;
const logger = createLogger({ level: 'info', service: 'test' });
let count = 0;

process.on('message', (asked: Asked) => {
  if ('failAfterMs' in asked) return void setTimeout(fail, asked.failAfterMs);
  for (const end = count + asked.lines; count < end; count += 1) logger.info({ count }, 'line');
  process.send?.({ dropped: logOutput().dropped } satisfies Logged);
});
function fail(): never {
  logger.info('last words');
  throw new Error('nobody catches this');
}

endOnSignal(logger, Number(graceMs), async () => {
  logger.info('last words');
  process.send?.('stopping');
  if (stops === 'never') await new Promise(() => undefined);
});
process.send?.('ready');
