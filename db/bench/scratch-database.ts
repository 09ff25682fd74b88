import pg from 'pg';

/** An empty database of our own on the given server, so that a benchmark never meets anybody's data. */
export async function scratchDatabase(serverUrl: string, name: string): Promise<{ url: string; drop(): Promise<void> }> {
  const admin = async (sql: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: serverUrl });
    await client.connect();
    try {
      for (const text of sql) await client.query(text);
    } finally {
      await client.end();
    }
  };
  const remove = `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`;
  await admin([remove, `CREATE DATABASE ${name}`]);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => admin([remove]) };
}
