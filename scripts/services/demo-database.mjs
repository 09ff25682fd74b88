// The database that a command works on: the one that the environment names, or else that of the private server which
// `npm start` keeps running on the data folder.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder, readState } from './data-folder.mjs';
import { serverUrl } from './postgres-server.mjs';

/** Sets DATABASE_URL when the environment names no database; ends the process when there is none either. */
export function useDemoDatabase() {
  if (process.env.DATABASE_RUNTIME_URL || process.env.DATABASE_URL) return;
  const folder = join(dataFolder(), 'demo');
  const port = existsSync(join(folder, 'state.json')) ? readState(folder).ports.postgres : undefined;
  if (port === undefined) {
    console.error('counterfoil: there is no private database yet; run `npm start`, or set DATABASE_URL.');
    process.exit(2);
  }
  process.env.DATABASE_URL = serverUrl({ port, password: readState(folder).password });
}
