// npm run projections -- rebuild daily_summaries: folds the read model anew from the log at DATABASE_RUNTIME_URL or DATABASE_URL,
// while the service goes on. Exit code 1: another rebuild is at work; 2: it failed, and what was served before still is.
import { Database } from '#platform/postgres.js';
import { RebuildRefused, rebuildDailySummaries } from './rebuild.js';

const CONNECT_TIMEOUT_MS = 5_000;
/** One for the pages, one for the claim. */
const POOL_SIZE = 2;
const PROGRESS_MS = 5_000;

const url = process.env.DATABASE_RUNTIME_URL || process.env.DATABASE_URL;
const words = process.argv.slice(2);

if (words.join(' ') !== 'rebuild daily_summaries') fail('usage: npm run projections -- rebuild daily_summaries');
else if (!url) fail('set DATABASE_URL or DATABASE_RUNTIME_URL to the database whose read model is to be rebuilt.');
else await rebuild(url);

async function rebuild(databaseUrl: string): Promise<void> {
  const database = new Database(databaseUrl, {
    poolSize: POOL_SIZE,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    applicationName: 'counterfoil-projections',
  });
  const startMs = performance.now();
  let nextMs = startMs + PROGRESS_MS;
  try {
    const { generation, events, stoodStillMs } = await rebuildDailySummaries(database, (folded) => {
      if (performance.now() < nextMs) return;
      nextMs += PROGRESS_MS;
      console.log(`${folded} events folded`);
    });
    console.log(
      `daily_summaries is served from generation ${generation}: ${events} events in ${seconds(performance.now() - startMs)} s; ` +
        `its consumer stood still for ${Math.round(stoodStillMs)} ms.`,
    );
  } catch (error) {
    fail((error as Error).message, error instanceof RebuildRefused ? 1 : 2);
  } finally {
    await database.close();
  }
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function fail(message: string, exitCode = 2): void {
  console.error(`counterfoil: ${message}`);
  process.exitCode = exitCode;
}
