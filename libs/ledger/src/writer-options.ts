import type { Config } from '#platform/config.js';
import type { WriterOptions } from './writer.js';

export function writerOptionsOf(config: Config): WriterOptions {
  return {
    databaseUrl: config.databaseRuntimeUrl,
    lanes: config.writerLanes,
    laneCapacity: config.writerLaneCapacity,
    groupSize: config.writerGroupSize,
    attempts: config.writerAttempts,
    groupTimeoutMs: config.writerGroupTimeoutMs,
    idempotencyWaitMs: config.idempotencyWaitMs,
  };
}
