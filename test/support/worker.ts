import { NestFactory } from '@nestjs/core';
import { inject } from 'vitest';
import type { Room } from '#outbox/room.js';
import { createLogger } from '#platform/logging.js';
import { Telemetry } from '#platform/telemetry.js';
import { readConfig } from '../../apps/config.js';
import { WorkerModule } from '../../apps/worker/src/worker.module.js';
import type { TestDatabase } from './database.js';
import { sourceProcess } from './source-process.js';

/** A whole worker in this process, as its main.ts makes it, without a balance cache. Answers what ends it. */
export async function startWorker(
  on: TestDatabase,
  environment: Record<string, string> = {},
  options: { rooms?: readonly Room[] } = {},
): Promise<() => Promise<void>> {
  const config = readConfig({
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    ...environment,
  });
  const logger = createLogger({ level: 'silent', service: 'test' });
  const telemetry = Telemetry.start({ otlpEndpoint: undefined, sampleRatio: 1, serviceName: 'test' });
  const worker = await NestFactory.createApplicationContext(
    await WorkerModule.with({ config, logger, telemetry, service: 'worker' }, { process: sourceProcess(), ...options }),
    { logger: false, abortOnError: false },
  );
  return () => worker.close();
}
