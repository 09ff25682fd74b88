// npm run verify: checks the books at DATABASE_RUNTIME_URL or DATABASE_URL, or else of what runs in this checkout.
import { runCompiled } from './compile.mjs';
import { useRunningDatabase } from './services/running.mjs';

useRunningDatabase();
await runCompiled('apps/verify/src/main.js');
