import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLE = `
-- When each duty and each scheduled job of the workers last ran, whichever process did it (GET /v1/jobs). Noted down now and then, not
-- at each round: what runs every second is seconds old here.
CREATE TABLE job_runs (
  name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
  kind text NOT NULL CHECK (kind IN ('duty', 'scheduler')),
  every_ms bigint NOT NULL CHECK (every_ms > 0),
  -- When a worker first had it to do: what has not run since then is late, too.
  known_since timestamptz NOT NULL DEFAULT now(),
  last_started_at timestamptz,
  last_finished_at timestamptz,
  next_at timestamptz,
  runs bigint NOT NULL DEFAULT 0,
  failures bigint NOT NULL DEFAULT 0,
  last_failed_at timestamptz,
  last_error text,
  noted_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);`;

/** What runs by itself, to look at. Adds a table. */
export class JobRuns1764730000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // DELETE: what no build does any more is forgotten.
    await runner.query(`${TABLE}
GRANT SELECT, INSERT, DELETE, UPDATE (every_ms, last_started_at, last_finished_at, next_at, runs, failures, last_failed_at, last_error,
                                      noted_at)
  ON job_runs TO counterfoil_runtime`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE job_runs');
  }
}
