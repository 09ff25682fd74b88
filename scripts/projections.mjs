// npm run projections -- rebuild daily_summaries: see libs/summaries/src/projections-cli.ts. On the database of `npm run verify`.
import { join } from 'node:path';
import { compile, root } from './compile.mjs';
import { useDemoDatabase } from './services/demo-database.mjs';

useDemoDatabase();
compile();
await import(join(root, 'dist', 'libs', 'summaries', 'src', 'projections-cli.js'));
