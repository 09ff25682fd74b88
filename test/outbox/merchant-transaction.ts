import pg from 'pg';
import type { TestDatabase } from '../support/database.js';

/** A transaction in a merchant's scope, on a connection of its own: of the runtime role, or of whoever the URL is. */
export async function merchantTransaction(
  on: TestDatabase,
  merchant: bigint,
  connectionString = on.runtimeUrl,
): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  // A test that fails leaves it to the end of the database.
  client.on('error', () => undefined);
  await client.query('BEGIN');
  await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchant}}`]);
  return client;
}
