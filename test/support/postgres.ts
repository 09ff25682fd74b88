import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { migrate, runtimeUrlOf } from '#db/migrate.js';
import { childrenOf } from '../../bench/cpu.js';
import { startPostgres } from '../../scripts/services/postgres-server.mjs';
import { asAdmin, type TestDatabase } from './database.js';

export interface PrivatePostgres {
  /** A migrated database of this name. */
  database(name: string): Promise<TestDatabase>;
  /** Its superuser's, by its socket. */
  url: string;
  /** Stops the server and starts it again, at the same place. */
  restart(): Promise<void>;
  /**
   * The same, without a chance for it to do anything first: it recovers as it starts. What was committed is there. SIGKILL: all of its
   * processes at once.
   */
  crash(signal?: 'SIGQUIT' | 'SIGKILL', whileAway?: () => Promise<unknown>): Promise<void>;
  /** Its first process and all others. */
  signal(name: NodeJS.Signals): void;
  /** Its processes but the first: a backend for each connection, among others. */
  readonly backends: readonly number[];
  /** Starts it where it has ended by itself. Answers whether it had. */
  revive(): Promise<boolean>;
  /** Copies the files of the stopped server, runs it for as long as `meanwhile` takes, and puts the copy back in its place. */
  putBack(meanwhile: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** Another server than the run's: with a system identifier and transaction ids of its own, and nobody else on it. */
export async function privatePostgres(
  settings: Record<string, string | number> = {},
  parent = tmpdir(),
): Promise<PrivatePostgres> {
  const folder = mkdtempSync(join(parent, 'counterfoil-postgres-'));
  let hasEnded = false;
  const start = async () => {
    const started = await startPostgres({ folder, name: 'moved', durable: false, settings });
    hasEnded = false;
    void started.ended.then(() => {
      if (started === server) hasEnded = true;
    });
    return started;
  };
  let server = await start();
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of [server.pid, ...childrenOf(server.pid)]) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended meanwhile.
      }
    }
  };
  return {
    url: server.url,
    database: async (name) => {
      await asAdmin(server.url, (admin) => admin.query(`CREATE DATABASE ${name}`));
      const owner = new URL(server.url);
      owner.pathname = `/${name}`;
      await migrate(owner.href);
      return { ownerUrl: owner.href, runtimeUrl: runtimeUrlOf(owner.href), drop: async () => undefined };
    },
    restart: async () => {
      await server.stop();
      server = await start();
    },
    crash: async (by = 'SIGQUIT', whileAway) => {
      if (by === 'SIGKILL') signal(by);
      else if (!hasEnded) process.kill(server.pid, by);
      await server.ended;
      await whileAway?.();
      server = await start();
    },
    signal,
    get backends() {
      return childrenOf(server.pid);
    },
    revive: async () => {
      if (!hasEnded) return false;
      server = await start();
      return true;
    },
    putBack: async (meanwhile) => {
      const [data, copy] = [join(folder, 'postgres'), join(folder, 'copy')];
      await server.stop();
      execFileSync('cp', ['-a', data, copy]);
      server = await start();
      await meanwhile();
      await server.stop();
      rmSync(data, { recursive: true });
      renameSync(copy, data);
      server = await start();
    },
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const TABLES = `
SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'`;
const SEQUENCES = `
SELECT quote_ident(sequencename) AS name, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL`;

/**
 * What pg_dump and pg_restore do to a database whose schema is there: every row of every table, as it is, and every sequence. By
 * files that both servers reach. (PostgreSQL as npm brings it has neither of the two.)
 */
export async function moveData(from: TestDatabase, to: TestDatabase): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'counterfoil-dump-'));
  // The servers may run under another account.
  chmodSync(folder, 0o777);
  const [source, target] = [from, to].map(({ ownerUrl }) => new pg.Client({ connectionString: ownerUrl }));
  if (!source || !target) throw new Error('there are two');
  try {
    await Promise.all([source.connect(), target.connect()]);
    await target.query('SET session_replication_role = replica');
    const { rows: tables } = await source.query<{ name: string }>(TABLES);
    await target.query(`TRUNCATE ${tables.map(({ name }) => name).join(', ')}`);
    for (const { name } of tables) {
      const file = join(folder, name);
      await source.query(`COPY ${name} TO '${file}'`);
      await target.query(`COPY ${name} FROM '${file}'`);
    }
    const { rows: sequences } = await source.query<{ name: string; last_value: string }>(SEQUENCES);
    for (const { name, last_value } of sequences) await target.query('SELECT setval($1, $2)', [name, last_value]);
  } finally {
    await Promise.all([source.end(), target.end()]);
    rmSync(folder, { recursive: true, force: true });
  }
}
