import pg from 'pg';
import { MigrationExecutor, type QueryRunner } from 'typeorm';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { runtimeUrlOf } from '#platform/runtime-role.js';
import { MIGRATIONS, MIGRATIONS_TABLE, migrationDataSource } from './data-source.js';
import { ensureRights } from './rights.js';
import { ensureRoles } from './roles.js';

export { runtimeUrlOf };

/** The name under which processes wait for each other; any constant does, as long as it never changes. */
const ADVISORY_LOCK = '7310868735955755';
/** How long one process waits for another one's migrations. */
const LOCK_TIMEOUT_MS = 120_000;
const STATEMENT_TIMEOUT_MS = 300_000;
const CHECK_TIMEOUT_MS = 2_000;

export interface MigrateOptions {
  /** DATABASE_RUNTIME_URL, when given. */
  runtimeUrl?: string | undefined;
  lockTimeoutMs?: number;
  /** Bounds each statement of a migration. */
  statementTimeoutMs?: number;
}

/**
 * Brings the schema up to date, and makes sure of the roles and their rights. Safe from many processes at once: they take
 * turns under an advisory lock, and the later ones find nothing to do. Returns the names of the migrations that it ran.
 */
export async function migrate(ownerUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  const { lockTimeoutMs = LOCK_TIMEOUT_MS, statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options;
  // First, because the migrations grant rights to the roles.
  await ensureRoles(ownerUrl, runtimeUrlOf(ownerUrl, options.runtimeUrl));
  return withRunner(ownerUrl, statementTimeoutMs, async (runner) => {
    // On the migrations' own connection: when it breaks, lock and migration end together.
    await runner.query(`SELECT set_config('lock_timeout', $1, false)`, [String(lockTimeoutMs)]);
    await runner.query(`SELECT set_config('statement_timeout', $1, false)`, [
      String(Math.max(lockTimeoutMs, statementTimeoutMs)),
    ]);
    await runner.query(`SELECT pg_advisory_lock(${ADVISORY_LOCK})`);
    try {
      await runner.query(`SELECT set_config('statement_timeout', $1, false)`, [String(statementTimeoutMs)]);
      const executor = new MigrationExecutor(runner.dataSource, runner);
      // The data source's mode binds only its own runMigrations; all in one would keep every lock until the last has ended.
      executor.transaction = 'each';
      const migrated = await executor.executePendingMigrations();
      await ensureRights(runner);
      return migrated.map((migration) => migration.name);
    } finally {
      await runner.query(`SELECT pg_advisory_unlock(${ADVISORY_LOCK})`).catch(() => undefined);
    }
  });
}

/** Names of the migrations that the database lacks, oldest first. As the owner; writes nothing. */
export async function pendingMigrations(ownerUrl: string): Promise<string[]> {
  return withRunner(ownerUrl, CHECK_TIMEOUT_MS, async (runner) => {
    const [{ exists }] = await runner.query(`SELECT to_regclass($1) IS NOT NULL AS exists`, [MIGRATIONS_TABLE]);
    const rows: { name: string }[] = exists ? await runner.query(`SELECT name FROM ${MIGRATIONS_TABLE}`) : [];
    return missing(rows);
  });
}

/**
 * Whether every migration of this build has run, as the runtime role sees it. Migrations of a newer build do not disturb:
 * during a rolling deploy the older processes stay ready.
 */
export async function schemaIsCurrent(
  database: Database,
  deadline = Deadline.after(CHECK_TIMEOUT_MS),
): Promise<boolean> {
  try {
    const rows = await database.read<{ name: string }>('platform', deadline, {
      text: `SELECT name FROM ${MIGRATIONS_TABLE}`,
    });
    return missing(rows).length === 0;
  } catch (error) {
    // The table is not there yet, or not granted to us yet: nothing has been migrated.
    if (error instanceof pg.DatabaseError && (error.code === '42P01' || error.code === '42501')) return false;
    throw error;
  }
}

function missing(rows: readonly { name: string }[]): string[] {
  const applied = new Set(rows.map((row) => row.name));
  return MIGRATIONS.map((migration) => migration.name).filter((name) => !applied.has(name));
}

async function withRunner<T>(
  ownerUrl: string,
  statementTimeoutMs: number,
  work: (runner: QueryRunner) => Promise<T>,
): Promise<T> {
  const source = await migrationDataSource(ownerUrl, statementTimeoutMs).initialize();
  const runner = source.createQueryRunner();
  try {
    return await work(runner);
  } finally {
    await runner.release();
    await source.destroy();
  }
}
