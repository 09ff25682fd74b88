// npm run verify: checks the books at DATABASE_RUNTIME_URL or DATABASE_URL, or else of the private server that `npm start`
// keeps running on the data folder.
import { join } from 'node:path';
import { compile, root } from './compile.mjs';
import { useDemoDatabase } from './services/demo-database.mjs';

useDemoDatabase();
compile();
await import(join(root, 'dist', 'apps', 'verify', 'src', 'main.js'));
