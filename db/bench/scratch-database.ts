import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate, runtimeUrlOf } from '#db/migrate.js';

export interface ScratchDatabase {
  url: string;
  runtimeUrl: string;
  drop(): Promise<void>;
}

/**
 * A migrated database of our own on the given server, so that a benchmark never meets anybody's data; of a `template`, one as that is,
 * to which nobody may be connected meanwhile.
 */
export async function scratchDatabase(
  serverUrl: string,
  purpose: string,
  template?: ScratchDatabase,
): Promise<ScratchDatabase> {
  const admin = async (sql: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: serverUrl });
    await client.connect();
    try {
      for (const text of sql) await client.query(text);
    } finally {
      await client.end();
    }
  };
  const name = `counterfoil_${purpose}_${randomBytes(4).toString('hex')}`;
  const remove = `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`;
  const like = template ? ` TEMPLATE ${new URL(template.url).pathname.slice(1)} STRATEGY file_copy` : '';
  await admin([`CREATE DATABASE ${name}${like}`]);
  const url = ownUrl(serverUrl, name);
  const givenRuntimeUrl = process.env.DATABASE_RUNTIME_URL;
  const runtimeUrl = runtimeUrlOf(url, givenRuntimeUrl && ownUrl(givenRuntimeUrl, name));
  const drop = (): Promise<void> => admin([remove]);
  try {
    if (!template) await migrate(url, { runtimeUrl });
  } catch (error) {
    await drop();
    throw error;
  }
  return { url, runtimeUrl, drop };
}

function ownUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}
