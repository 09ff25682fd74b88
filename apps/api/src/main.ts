import 'reflect-metadata';
import { createLogger } from '#platform/logging.js';
import { endOnSignal, endProcess } from '#platform/process-end.js';
import { readConfigOrExit } from '../../config.js';
import { startApi } from './api.js';
import type { SupervisorMessage } from './example-ids.js';

const config = readConfigOrExit();
const logger = createLogger({ level: config.logLevel, service: 'counterfoil-api' });

try {
  const api = await startApi(config, { logger });
  logger.info({ url: api.url }, 'listening');
  // A supervisor that started us with a channel is told where we are, and may tell us what there is to look at.
  process.send?.({ listening: api.url });
  process.on('message', ({ exampleIds }: SupervisorMessage) => exampleIds && api.showExampleIds(exampleIds));
  endOnSignal(logger, config.shutdownGraceMs, () => api.stop());
} catch (error) {
  logger.fatal({ err: error }, 'the API could not start');
  endProcess(logger, 1);
}
