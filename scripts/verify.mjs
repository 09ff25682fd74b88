// npm run verify: checks the books at DATABASE_RUNTIME_URL or DATABASE_URL, or else of the private server that `npm start`
// keeps running on the data folder.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { compile, root } from './compile.mjs';
import { dataFolder, readState } from './services/data-folder.mjs';
import { serverUrl } from './services/postgres-server.mjs';

if (!process.env.DATABASE_RUNTIME_URL && !process.env.DATABASE_URL) {
  const folder = join(dataFolder(), 'demo');
  const port = existsSync(join(folder, 'state.json')) ? readState(folder).ports.postgres : undefined;
  if (port === undefined) {
    console.error('counterfoil: there is no private database yet; run `npm start`, or set DATABASE_URL.');
    process.exit(2);
  }
  process.env.DATABASE_URL = serverUrl({ port, password: readState(folder).password });
}
compile();
await import(join(root, 'dist', 'libs', 'ledger', 'src', 'verify-cli.js'));
