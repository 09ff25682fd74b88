import type { Room } from '#outbox/room.js';
import { DailySummaries } from './daily-summaries.js';

export const SUMMARIES = {
  module: async () => (await import('./summaries.module.js')).SummariesModule,
  worker: async () => (await import('./summaries-worker.module.js')).SummariesWorkerModule,
  consumers: [new DailySummaries()],
  checks: async () => (await import('./checks.js')).SUMMARY_CHECKS,
} satisfies Room;
