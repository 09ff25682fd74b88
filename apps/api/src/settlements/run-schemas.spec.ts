import { expect, it } from 'vitest';
import type { Run } from '#settlement/runs/run-store.js';
import { runBody } from './run-schemas.js';

const STARTED_MS = Date.parse('2026-11-20T22:00:00Z');
const RUN: Run = {
  id: 251658240000004096n,
  businessDate: '2026-11-20',
  askedBy: 'operator',
  status: 'running',
  createdAtMs: STARTED_MS - 100,
  startedAtMs: STARTED_MS,
  finishedAtMs: null,
  merchants: { total: 100, settled: 10, empty: 6, notDue: 3, failed: 1 },
  traceContext: null,
  totals: {},
  errors: '[]',
  asOfMs: STARTED_MS + 4_000,
};

it('goes on as fast as it has gone so far', () => {
  // 20 of 100 in four seconds: the others take sixteen more.
  expect(runBody(RUN)).toMatchObject({ rate: 5, eta: '2026-11-20T22:00:20.000Z' });
});

it('tells no pace before the first merchant, and no end once it has ended', () => {
  const merchants = { total: 100, settled: 0, empty: 0, notDue: 0, failed: 0 };
  expect(runBody({ ...RUN, merchants })).toMatchObject({ rate: null, eta: null });
  const all = { ...RUN, merchants: { ...merchants, settled: 100 }, finishedAtMs: STARTED_MS + 10_000 };
  expect(runBody({ ...all, asOfMs: STARTED_MS + 60_000 })).toMatchObject({ rate: 10, eta: null });
});
