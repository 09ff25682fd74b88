// npm run projections -- rebuild daily_summaries: see libs/summaries/src/projections-cli.ts. On the database of `npm run verify`.
import { runCompiled } from './compile.mjs';
import { useRunningDatabase } from './services/running.mjs';

useRunningDatabase();
await runCompiled('libs/summaries/src/projections-cli.js');
