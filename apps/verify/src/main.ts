// npm run verify: checks the books at DATABASE_RUNTIME_URL or DATABASE_URL, and the balances that are cached at REDIS_URL, where that is
// set. Exit code 1: they are wrong; 2: could not be read.
import { verifyCache } from '#balances/checks.js';
import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../rooms.js';

const url = process.env.DATABASE_RUNTIME_URL || process.env.DATABASE_URL;

if (!url) {
  console.error('counterfoil: set DATABASE_URL or DATABASE_RUNTIME_URL to the database that is to be verified.');
  process.exitCode = 2;
} else {
  try {
    await report(url);
  } catch (error) {
    console.error(`counterfoil: what is to be verified could not be read: ${(error as Error).message}`);
    process.exitCode = 2;
  }
}

async function report(databaseUrl: string): Promise<void> {
  const redisUrl = process.env.REDIS_URL;
  // First, because what is cached now is gone within BALANCE_TTL_MS.
  const cached = redisUrl ? await verifyCache(databaseUrl, redisUrl) : undefined;
  const results = await verify(databaseUrl, await checksOf(ROOMS));
  if (cached) results.push(cached);
  else console.log('skip  I5: REDIS_URL is not set, so that no cached balance was looked at');
  for (const { name, counted, offenders } of results) {
    console.log(`${offenders.length === 0 ? 'ok   ' : 'WRONG'} ${name}: ${counted} counted`);
    for (const offender of offenders) console.log(`        ${offender}`);
  }
  if (results.some(({ offenders }) => offenders.length > 0)) process.exitCode = 1;
}
