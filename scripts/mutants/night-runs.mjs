import { inFile } from './mutant.mjs';

const RUNS = 'test/settlement-runs.test.ts';
const SCHEDULE = 'test/night-schedule.test.ts';
const NIGHT = 'test/night.test.ts';
const JOBS = 'test/jobs.test.ts';

/**
 * Planted bugs of runs, their ranges and schedule, and of what is told of jobs.
 *
 * @type {import('./table.mjs').Mutant[]}
 */
export const RUN_MUTANTS = [
  ...inFile('libs/settlement/src/runs/start-run.command.ts', RUNS, [
    ['a day of the future is settled', 'businessDate > newestDay(systemClock.now())', 'businessDate === ""'],
    ['a day that has begun is of the future', 'nowMs + MOST_AHEAD_MS', 'nowMs - MOST_AHEAD_MS'],
    ['merchants there are not are passed over', 'if (unknown.length > 0)', 'if (unknown.length < 0)'],
  ]),
  ...inFile('libs/settlement/src/runs/range-store.ts', RUNS, [
    [
      'a range is counted twice',
      "completed_at = now() WHERE run_id = $1 AND range = $2 AND status = 'queued'",
      'completed_at = now() WHERE run_id = $1 AND range = $2',
    ],
    ['two last ranges do not see each other', 'WHERE id = $1 FOR NO KEY UPDATE', 'WHERE id = $1'],
    ['a completed range is settled again', "g.range = $2 AND g.status = 'queued'", 'g.range = $2'],
  ]),
  ...inFile('libs/settlement/src/runs/range-store.ts', SCHEDULE, [
    [
      'who cannot be settled is tried all the time',
      'if (waiting.length > 0) await client.query(postponeDue(SETTLEMENT_DUE, waiting));',
      '',
    ],
  ]),
  ...inFile('libs/settlement/src/runs/night-worker.ts', NIGHT, [
    ['merchants of later days are errors', "(named || outcome === 'failed')", "(named || outcome !== 'settled')"],
  ]),
  ...inFile('libs/settlement/src/runs/due-runs.ts', SCHEDULE, [
    ['two schedulers make runs at once', 'await client.query(TAKE_LOCK);', ''],
    ['who waits in a range is put into another', 'q.id = d.merchant_id)', 'q.id = -d.merchant_id)'],
  ]),
  ...inFile('libs/settlement/src/runs/night-queue.ts', SCHEDULE, [
    [
      'looks that are put off for an hour count as kept',
      'Math.abs(known.next - Date.now()) < 2 * everyMs',
      'known.next > Date.now() - 2 * everyMs',
    ],
    ['looks that were put off stay so', 'await inTime(this.#queue.removeJobScheduler(LOOK));', ''],
  ]),
  ...inFile('libs/settlement/src/settlement-worker.module.ts', SCHEDULE, [
    ['jobs that are lost stay so', 'await this.queue.add(runId, ranges, traceContext ?? undefined);', ''],
  ]),
  ...inFile('libs/platform/src/due-rows.ts', 'test/due-rows.test.ts', [
    ['what is not due waits, too', 'd.subject_id = u.subject_id AND d.due_at <= now()', 'd.subject_id = u.subject_id'],
  ]),
  ...inFile('libs/platform/src/job-runs.ts', JOBS, [
    ['what could not be noted down is lost', 'for (const one of noted) this.#putBack(one);', ''],
    ['workers overwrite each other’s rounds', 'runs = j.runs + excluded.runs', 'runs = excluded.runs'],
    ['jobs of older builds stay', 'WHERE name <> ALL ($1) AND noted_at', 'WHERE name = ALL ($1) AND noted_at'],
  ]),
  ...inFile('libs/platform/src/job.queries.ts', JOBS, [
    [
      'what has never run is never late',
      'greatest(known_since, last_started_at, last_finished_at)',
      'greatest(last_started_at, last_finished_at)',
    ],
  ]),
  ...inFile('libs/platform/src/duty.ts', JOBS, [
    ['a failed round is told as a good one', 'this.#jobs?.failed(this.#job, error);', 'this.#jobs?.ended(this.#job);'],
  ]),
];
