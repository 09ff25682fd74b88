// npm run consumers -- list | forget <consumer> --by <who> --reason <why>: see apps/worker/src/consumers-cli.ts.
import { runCompiled } from './compile.mjs';
import { useRunningDatabase } from './services/running.mjs';

useRunningDatabase();
await runCompiled('apps/worker/src/consumers-cli.js');
