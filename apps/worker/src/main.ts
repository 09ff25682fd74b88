import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { createLogger, NestLog } from '#platform/logging.js';
import { endOnSignal, endProcess } from '#platform/process-end.js';
import { Telemetry } from '#platform/telemetry.js';
import { readConfigOrExit } from '../../config.js';
import { WorkerModule } from './worker.module.js';

const config = readConfigOrExit();
const service = 'counterfoil-worker';
const logger = createLogger({ level: config.logLevel, service });
const telemetry = Telemetry.start({
  otlpEndpoint: config.otelExporterOtlpEndpoint,
  sampleRatio: config.traceSampleRatio,
  slowMs: config.traceSlowMs,
  serviceName: service,
});

try {
  const app = await NestFactory.createApplicationContext(
    await WorkerModule.with({ config, logger, telemetry, service: 'worker' }),
    {
      logger: new NestLog(logger),
      abortOnError: false,
    },
  );
  logger.info('working');
  process.send?.({ working: true });
  endOnSignal(logger, config.shutdownGraceMs, () => app.close());
} catch (error) {
  logger.fatal({ err: error }, 'the worker could not start');
  endProcess(logger, 1);
}
