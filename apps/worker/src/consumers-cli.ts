// npm run consumers -- list | forget <consumer> --by <who> --reason <why>: who follows the log at DATABASE_RUNTIME_URL or
// DATABASE_URL, and an end to those that no build has any more. Exit code 1: refused; 2: it failed.
import { parseArgs } from 'node:util';
import { ForgetRefused, forgetConsumer, knownConsumers } from '#outbox/consumers/forget-consumer.js';
import { Database } from '#platform/postgres.js';
import { followersOf, ROOMS } from '../../rooms.js';

const CONNECT_TIMEOUT_MS = 5_000;
const USAGE = 'usage: npm run consumers -- list | forget <consumer> --by <who> --reason <why>';

const declared = new Set(followersOf(ROOMS));
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { by: { type: 'string' }, reason: { type: 'string' } },
});
const [command, consumer] = positionals;
const url = process.env.DATABASE_RUNTIME_URL || process.env.DATABASE_URL;

if (!url) fail('set DATABASE_URL or DATABASE_RUNTIME_URL to the database whose log it is about.');
else if (command === 'list' && positionals.length === 1) await withDatabase(url, list);
else if (command === 'forget' && consumer && positionals.length === 2 && values.by && values.reason) {
  const decision = { consumer, by: values.by, reason: values.reason };
  await withDatabase(url, (database) => forget(database, decision));
} else fail(USAGE);

async function list(database: Database): Promise<void> {
  for (const { consumer: name, handedAtMs, openLetters, parkedStreams } of await knownConsumers(database)) {
    const last = handedAtMs === 0 ? 'nothing yet' : new Date(handedAtMs).toISOString();
    const isOurs = declared.has(name) ? 'of this build' : 'of no consumer here';
    console.log(
      `${name}: ${isOurs}; last handed ${last}; ${openLetters} open dead letters, ${parkedStreams} streams wait`,
    );
  }
}

async function forget(database: Database, decision: { consumer: string; by: string; reason: string }): Promise<void> {
  const known = await knownConsumers(database);
  if (declared.has(decision.consumer)) throw new ForgetRefused(`${decision.consumer} is a consumer of this build`);
  if (!known.some((one) => one.consumer === decision.consumer)) {
    throw new ForgetRefused(`there is no consumer ${decision.consumer}: npm run consumers -- list`);
  }
  await forgetConsumer(database, decision);
  console.log(`${decision.consumer} is forgotten; should it come back, it begins anew.`);
}

async function withDatabase(databaseUrl: string, work: (database: Database) => Promise<void>): Promise<void> {
  const database = new Database(databaseUrl, {
    poolSize: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    applicationName: 'counterfoil-consumers',
  });
  try {
    await work(database);
  } catch (error) {
    fail((error as Error).message, error instanceof ForgetRefused ? 1 : 2);
  } finally {
    await database.close();
  }
}

function fail(message: string, exitCode = 2): void {
  console.error(`counterfoil: ${message}`);
  process.exitCode = exitCode;
}
