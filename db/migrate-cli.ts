// npm run migrate: brings the database at DATABASE_URL up to date. npm run migrate -- --check: says whether it is (exit
// code 1 when not), and changes nothing.
import { migrate, pendingMigrations } from './migrate.js';

const { DATABASE_URL: ownerUrl, DATABASE_RUNTIME_URL: runtimeUrl } = process.env;
const [option, ...rest] = process.argv.slice(2);

if (rest.length > 0 || (option !== undefined && option !== '--check')) fail('usage: npm run migrate [-- --check]');
else if (!ownerUrl) fail('set DATABASE_URL to the URL of a PostgreSQL role that may create tables and roles.');
else {
  try {
    if (option === '--check') await check(ownerUrl);
    else await apply(ownerUrl);
  } catch (error) {
    fail(`the database could not be migrated: ${(error as Error).message}`);
  }
}

async function check(url: string): Promise<void> {
  const pending = await pendingMigrations(url);
  if (pending.length === 0) console.log('The schema is current.');
  else fail(`the schema is not current; it lacks ${pending.join(', ')}.`, 1);
}

async function apply(url: string): Promise<void> {
  const applied = await migrate(url, { runtimeUrl: runtimeUrl || undefined });
  console.log(applied.length === 0 ? 'The schema was current already.' : `Applied ${applied.join(', ')}.`);
}

/** Exit code 2 tells "could not find out" from 1, "not current". */
function fail(message: string, exitCode = 2): void {
  console.error(`counterfoil: ${message}`);
  process.exitCode = exitCode;
}
