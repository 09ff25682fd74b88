// npm run verify: checks the books at DATABASE_RUNTIME_URL or DATABASE_URL. Exit code 1: they are wrong; 2: could not be read.
import { verify } from '#ledger/verify.js';
import { CHECKS } from './checks.js';

const url = process.env.DATABASE_RUNTIME_URL || process.env.DATABASE_URL;

if (!url) {
  console.error('counterfoil: set DATABASE_URL or DATABASE_RUNTIME_URL to the database that is to be verified.');
  process.exitCode = 2;
} else {
  try {
    await report(url);
  } catch (error) {
    console.error(`counterfoil: the database could not be verified: ${(error as Error).message}`);
    process.exitCode = 2;
  }
}

async function report(databaseUrl: string): Promise<void> {
  const results = await verify(databaseUrl, CHECKS);
  for (const { name, counted, offenders } of results) {
    console.log(`${offenders.length === 0 ? 'ok   ' : 'WRONG'} ${name}: ${counted} counted`);
    for (const offender of offenders) console.log(`        ${offender}`);
  }
  if (results.some(({ offenders }) => offenders.length > 0)) process.exitCode = 1;
}
