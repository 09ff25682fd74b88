import type { LedgerSettings } from '../settings.js';
import type { WriterOptions } from './writer.js';

export function writerOptionsOf(config: LedgerSettings): WriterOptions {
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
