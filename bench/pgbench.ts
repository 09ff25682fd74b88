import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { sqlPath } from '#db/bench/sql-file.js';

const CLIENTS = 16;
const THREADS = 2;
const DEBIAN_FOLDER = '/usr/lib/postgresql';

export const PGBENCH_MISSING =
  'pgbench was not found, so there is no reference to divide by and every ratio to it stays empty. It comes with ' +
  'PostgreSQL: on Debian and Ubuntu `apt-get install postgresql-contrib`, on macOS `brew install postgresql@18`.';

export function findPgbench(): string | undefined {
  const debian = existsSync(DEBIAN_FOLDER)
    ? readdirSync(DEBIAN_FOLDER).map((version) => join(DEBIAN_FOLDER, version, 'bin'))
    : [];
  return (
    [...(process.env.PATH ?? '').split(delimiter), ...debian.sort().reverse()]
      .map((folder) => join(folder, 'pgbench'))
      .filter((file) => existsSync(file))
      // Debian's client tools bring a wrapper of that name even where no pgbench is installed.
      .find((file) => spawnSync(file, ['--version']).status === 0)
  );
}

export interface Reference {
  pgbench: string;
  databaseUrl: string;
  merchants: number;
  accounts: number;
}

/** Transfers per second of the reference function. */
export async function runReference(reference: Reference, script: 'uniform' | 'hot', seconds: number): Promise<number> {
  const url = new URL(reference.databaseUrl);
  const output = await runToEnd(
    reference.pgbench,
    [
      '--no-vacuum',
      '--protocol=prepared',
      `--client=${CLIENTS}`,
      `--jobs=${THREADS}`,
      `--time=${Math.max(1, Math.round(seconds))}`,
      `--file=${sqlPath(`reference-${script}.pgbench`)}`,
      `--define=merchants=${reference.merchants}`,
      `--define=accounts=${reference.accounts}`,
      `--define=run=${Date.now()}`,
      `--host=${url.searchParams.get('host') ?? url.hostname}`,
      `--port=${url.port || 5432}`,
      `--username=${decodeURIComponent(url.username)}`,
      url.pathname.slice(1),
    ],
    { ...process.env, PGPASSWORD: decodeURIComponent(url.password) },
  );
  const rate =
    /tps = ([\d.]+) \(without initial connection time\)/.exec(output)?.[1] ?? /tps = ([\d.]+)/.exec(output)?.[1];
  if (rate === undefined || /number of failed transactions: [1-9]/.test(output))
    throw new Error(`pgbench said:\n${output}`);
  return Number(rate);
}

function runToEnd(file: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`pgbench ended with ${code}:\n${output}`)),
    );
  });
}
